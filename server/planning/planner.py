"""Turn a budget into a plan: how many marginals each phase asks, and the noise of each."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from fractions import Fraction

from pydantic import ValidationError

from silosynth.common.accounting.epsilon import pld_epsilon, rho_for
from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidPlan
from silosynth.common.generator.features import FeatureSettings
from silosynth.common.plan.check import check_plan, check_texts
from silosynth.common.plan.phases import OF_VALUES
from silosynth.common.plan.plan import (
    Method,
    OnAbsent,
    Phase,
    PhaseName,
    Plan,
    Privacy,
    TrustMode,
    parse_plan,
    phase_cost,
)
from silosynth.common.plan.values import plan_trees
from silosynth.common.schema.schema import Schema
from silosynth.server.planning.advice import advise
from silosynth.server.planning.sizes import Size, embedding_size, phase_sizes
from silosynth.server.planning.training import PlannedTraining, TrainingChoice, plan_training
from silosynth.server.planning.values import value_shares, value_sizes

SHARES: Mapping[Method, Mapping[PhaseName, Fraction]] = {
    Method.INDEPENDENT: {PhaseName.ONE_WAY: Fraction(1)},
    Method.MST: {
        PhaseName.ONE_WAY: Fraction(1, 2),
        PhaseName.COARSE: Fraction(1, 5),
        PhaseName.TREE: Fraction(3, 10),
    },
    Method.AIM: {
        PhaseName.ONE_WAY: Fraction(2, 5),
        PhaseName.COARSE: Fraction(3, 10),
    },
    Method.FIXED: {PhaseName.ONE_WAY: Fraction(1, 4), PhaseName.WORKLOAD: Fraction(3, 4)},
    Method.ONE_SHOT: {PhaseName.ONE_WAY: Fraction(1, 4), PhaseName.EMBEDDING: Fraction(3, 4)},
}
AIM_ROUNDS = 2
"""Selection rounds of an AIM plan; they share what the other phases leave, by their marginals."""
AIM_PAIRS = Fraction(7, 2)
"""Pairs that an AIM plan asks for each attribute, where one noise is on all silos' sum."""
AIM_PAIRS_OWN_NOISE = Fraction(2)
"""Fewer where several silos add noise of their own; see docs/decisions/025."""
AIM_MODEL_MB = 4
FREQUENCIES, ORDER = 4096, 2
"""Random features of the method one-shot; see docs/decisions/018."""
IMAGE_FREQUENCIES = 512
"""Fewer where they look at images: each is noised, and costs time for every pixel."""

_TAIL = 40
_STEP = 1024


def new_plan(
    schema: Schema,
    *,
    epsilon: float,
    delta: float,
    silos: Sequence[str],
    method: Method | str | None = None,
    workload: Sequence[Clique] = (),
    weights: Sequence[int] = (),
    rounds: int = AIM_ROUNDS,
    max_model_mb: int | None = None,
    rows_per_person: int = 1,
    unit: str = "row",
    frequencies: int | None = None,
    order: int = ORDER,
    on_absent: OnAbsent | str | None = None,
    plan_id: str | None = None,
    trust: TrustMode | str = TrustMode.OWN,
    colluders: int = 0,
    absent: int = 0,
    attempts: int = 1,
    rows_at_most: int | None = None,
    training: TrainingChoice | None = None,
) -> Plan:
    """Make a plan that costs one silo at most (epsilon, delta).

    Guarantees: the privacy loss distribution of all phases together, each as often as
    ``attempts`` allows, gives at most ``epsilon`` at ``delta``; every sigma2 is an exact fraction,
    rounded up.

    Args:
        method: without it, what :func:`~silosynth.server.planning.advice.advise` says; AIM for a
        workload. workload, weights: what AIM chooses for; all pairs alike without them.
        rounds: how often AIM chooses and measures, 1 to 3.
        max_model_mb: the most MiB of the model's tables; AIM chooses what stays below.
        on_absent: by default, shared trust goes on without ``absent`` silos and own trust stops.
        trust: in shared trust a phase's sigma2 is the noise of the sum over the silos.
        colluders, absent: silos that may work with the coordinator, and that may be missing.
        attempts: how often the silos' sum may be begun; each is paid for in advance.
        rows_at_most: a public bound on all silos' rows; where it allows, shared sums take 4 bytes
            a cell.
        frequencies, order: the random features of the method one-shot, for no other.
        training: what was chosen for the method dp-sgd; the defaults without it.

    Raises InvalidPlan for a budget out of range, an unreviewed schema, a marginal that is too
    large, or a method that the schema has too few attributes for.
    """
    if rows_per_person < 1:
        raise InvalidPlan(f"rows_per_person is {rows_per_person}", hint="it must be at least 1")
    if method is None:
        method = Method.AIM if workload else advise(schema).method
    chosen, trusted = _method(method), TrustMode(trust)
    check_texts(schema, method=chosen, workload=workload)
    shares = len(silos) - colluders - absent if trusted is TrustMode.SHARED else 1
    planned: PlannedTraining | None = None
    features = None
    trees = plan_trees(schema)
    if chosen is Method.DP_SGD:
        planned = plan_training(
            schema,
            training or TrainingChoice(),
            epsilon=epsilon,
            delta=delta,
            rows_per_person=rows_per_person,
            trust=trusted,
            shares=max(shares, 1),
            attempts=attempts,
        )
        phases = planned.phases
    else:
        sizes = phase_sizes(
            schema,
            method=chosen,
            workload=tuple(workload),
            rounds=rounds,
            pairs_per_attribute=_aim_pairs(trusted, silos=len(silos)),
        )
        if chosen is Method.ONE_SHOT:
            features = _features(schema, frequencies=frequencies, order=order)
            sizes |= {PhaseName.EMBEDDING: embedding_size(schema.domain, features)}
        phases = _calibrated(
            value_sizes(trees) | sizes,
            epsilon=epsilon,
            delta=delta,
            method=chosen,
            rows_per_person=rows_per_person,
            shares=shares,
            attempts=attempts,
        )
    plan = parse_plan(
        {
            "id": plan_id or f"{schema.name[:48]}-{secrets.token_hex(4)}",
            "schema_name": schema.name,
            "schema_digest": schema.digest,
            "silos": list(silos),
            "privacy": Privacy(
                epsilon=epsilon, delta=delta, rows_per_person=rows_per_person, unit=unit
            ),
            "method": chosen.value,
            "workload": tuple(workload),
            "features": features,
            "training": planned.settings if planned else None,
            "weights": tuple(weights),
            "values": trees or None,
            **_model_limit(chosen, max_model_mb),
            "phases": phases,
            "on_absent": str(on_absent or _goes_on(absent)),
            "trust": trusted.value,
            "colluders": colluders,
            "absent": absent,
            "attempts": attempts,
            "sum_bits": _sum_bits(
                phases, trust=trusted, rows_at_most=None if features else rows_at_most
            ),
        }
    )
    check_plan(plan, schema)
    return plan


def _calibrated(
    sizes: Mapping[PhaseName, Size],
    *,
    epsilon: float,
    delta: float,
    method: Method,
    rows_per_person: int,
    shares: int,
    attempts: int,
) -> tuple[Phase, ...]:
    """Return phases whose privacy loss distribution gives at most ``epsilon``."""
    rho = rho_for(epsilon, delta)
    scale = Fraction(1)
    while True:
        phases = _noise(
            sizes,
            rho=rho * scale / attempts,
            method=method,
            rows_per_person=rows_per_person,
            least=Fraction(max(shares, 0) if shares > 1 else 0),
        )
        costs = [
            phase_cost(p, rows_per_person=rows_per_person, shares=max(shares, 1), attempts=attempts)
            for p in phases
        ]
        if pld_epsilon(costs, delta) <= epsilon:
            return phases
        scale *= Fraction(99, 100)


def _aim_pairs(trust: TrustMode, *, silos: int) -> Fraction:
    """Return how many pairs AIM asks for each attribute."""
    return AIM_PAIRS_OWN_NOISE if trust is TrustMode.OWN and silos > 1 else AIM_PAIRS


def _method(method: Method | str) -> Method:
    """Read a method by name."""
    try:
        return Method(method)
    except ValueError:
        names = ", ".join(m.value for m in Method)
        raise InvalidPlan(f"method {str(method)!r} is not known", hint=f"use {names}") from None


def _model_limit(method: Method, max_model_mb: int | None) -> dict[str, int]:
    """Return the limit that was asked, or the method's own."""
    if max_model_mb is None:
        return {"max_model_mb": AIM_MODEL_MB} if method is Method.AIM else {}
    return {"max_model_mb": max_model_mb}


def _share(name: PhaseName, *, sizes: Mapping[PhaseName, Size], method: Method) -> Fraction:
    """Return a phase's share of rho; AIM's rounds share the rest by their marginals."""
    values = value_shares({n: s for n, s in sizes.items() if n in OF_VALUES})
    if name in values:
        return values[name]
    part = 1 - sum(values.values(), Fraction(0))
    shares = SHARES[method]
    if name in shares:
        return part * shares[name]
    marginals = sum(s.marginals for n, s in sizes.items() if n not in (*shares, *values))
    left = 1 - sum(shares.values(), Fraction(0))
    return part * left * Fraction(sizes[name].marginals, marginals)


def _goes_on(absent: int) -> OnAbsent:
    """Return what a run does without a silo when the user does not say."""
    return OnAbsent.CONTINUE if absent else OnAbsent.STOP


def _sum_bits(phases: Sequence[Phase], *, trust: TrustMode, rows_at_most: int | None) -> int:
    """Return 32 where no sum can leave 32 bits, but with a probability below 2^-1000; else 64."""
    if trust is TrustMode.OWN or rows_at_most is None:
        return 64
    largest = max(p.sigma2 for p in phases)
    rows_at_most *= max(p.bound for p in phases)
    return 32 if rows_at_most + _TAIL * math.isqrt(int(2 * largest) + 1) < 2**31 else 64


def _noise(
    sizes: Mapping[PhaseName, Size],
    *,
    rho: Fraction,
    method: Method,
    rows_per_person: int,
    least: Fraction,
) -> tuple[Phase, ...]:
    """Split ``rho`` by the method's shares and round every sigma2 up to a multiple of 1/1024.

    A phase whose noise would be below ``least`` gets that, and the others what it leaves.
    """
    shares = {name: _share(name, sizes=sizes, method=method) for name in sizes}
    squared = {
        n: Fraction(s.marginals * (rows_per_person * s.bound) ** 2) for n, s in sizes.items()
    }
    fixed: dict[PhaseName, Fraction] = {}
    while True:
        left = rho - sum((squared[n] / (2 * s) for n, s in fixed.items()), 0)
        rest = sum((shares[n] for n in sizes if n not in fixed), Fraction(0))
        exact = fixed | {
            n: squared[n] * rest / (2 * left * shares[n]) for n in sizes if n not in fixed
        }
        below = {n: least for n, sigma2 in exact.items() if sigma2 < least}
        if not below:
            break
        fixed |= below
    return tuple(
        Phase(
            name=name,
            marginals=size.marginals,
            cells=size.cells,
            sigma2=Fraction(-((-exact[name] * _STEP) // 1), _STEP),
            bound=size.bound,
        )
        for name, size in sizes.items()
    )


def _features(schema: Schema, *, frequencies: int | None, order: int) -> FeatureSettings:
    """Return the random features of a plan, with a public seed of its own."""
    if frequencies is None:
        frequencies = IMAGE_FREQUENCIES if schema.images else FREQUENCIES
    if schema.impossible():
        raise InvalidPlan(
            "the method one-shot cannot keep impossible combinations apart",
            hint="use mst, aim or fixed, or take them out of the schema",
        )
    label = schema.label if schema.label in schema.domain.attributes else None
    if len(schema.coded) < (1 if label is None else 2):
        raise InvalidPlan("the method one-shot needs an attribute beside the label")
    try:
        return FeatureSettings(
            frequencies=frequencies,
            order=order,
            seed=secrets.randbelow(2**31),
            label=label,
            images=bool(schema.images),
        )
    except ValidationError as err:
        raise InvalidPlan(
            f"{frequencies} frequencies of order {order} are out of range",
            hint="use 1 to 16384 frequencies, and an order of 1 or 2",
        ) from err
