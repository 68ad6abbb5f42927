"""Turn a budget into a plan: how many marginals each phase asks, and the noise of each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from pydantic import ValidationError

from silosynth.common.budget import phase_costs
from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidPlan, InvalidSchema
from silosynth.common.features import FeatureSettings, feature_cells
from silosynth.common.plan import (
    PHASES,
    Method,
    OnAbsent,
    Phase,
    PhaseName,
    Plan,
    Privacy,
    check_plan,
    parse_plan,
)
from silosynth.common.privacy import pld_epsilon, rho_for
from silosynth.common.schema import Schema
from silosynth.server.select import MOST_GROUPS

SHARES: Mapping[Method, Mapping[PhaseName, Fraction]] = {
    Method.INDEPENDENT: {PhaseName.ONE_WAY: Fraction(1)},
    Method.MST: {
        PhaseName.ONE_WAY: Fraction(1, 2),
        PhaseName.COARSE: Fraction(1, 5),
        PhaseName.TREE: Fraction(3, 10),
    },
    Method.FIXED: {PhaseName.ONE_WAY: Fraction(1, 4), PhaseName.WORKLOAD: Fraction(3, 4)},
    Method.ONE_SHOT: {PhaseName.ONE_WAY: Fraction(1, 4), PhaseName.EMBEDDING: Fraction(3, 4)},
}
MAX_CELLS_PER_MARGINAL = 5_000_000
MAX_CELLS_PER_PLAN = 50_000_000
FREQUENCIES, ORDER = 4096, 2
"""Random features of the method one-shot; see docs/decisions/018."""

_STEP = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    """How much a phase may ask."""

    marginals: int
    cells: int
    bound: int = 1


def new_plan(
    schema: Schema,
    *,
    epsilon: float,
    delta: float,
    silos: Sequence[str],
    method: Method | str = Method.MST,
    workload: Sequence[Clique] = (),
    rows_per_person: int = 1,
    unit: str = "row",
    frequencies: int = FREQUENCIES,
    order: int = ORDER,
    on_absent: OnAbsent | str = OnAbsent.STOP,
    plan_id: str | None = None,
) -> Plan:
    """Make a plan that costs one silo at most (epsilon, delta).

    Guarantees: the privacy loss distribution of all phases together gives at most ``epsilon`` at
    ``delta``; every sigma2 is an exact fraction, rounded up.

    Args: frequencies, order: the random features of the method one-shot, for no other.
    Raises InvalidPlan for a budget out of range, an unreviewed schema, a marginal that is too
    large, or a method that the schema has too few attributes for.
    """
    if rows_per_person < 1:
        raise InvalidPlan(f"rows_per_person is {rows_per_person}", hint="it must be at least 1")
    chosen = _method(method)
    sizes = _phase_sizes(schema.domain, method=chosen, workload=tuple(workload))
    features = None
    if chosen is Method.ONE_SHOT:
        features = _features(schema, frequencies=frequencies, order=order)
        sizes |= {PhaseName.EMBEDDING: _embedding_size(schema.domain, features)}
    rho = rho_for(epsilon, delta)
    scale = Fraction(1)
    while True:
        phases = _noise(sizes, rho=rho * scale, method=chosen, rows_per_person=rows_per_person)
        if pld_epsilon(phase_costs(phases, rows_per_person), delta) <= epsilon:
            break
        scale *= Fraction(99, 100)
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
            "phases": phases,
            "on_absent": str(on_absent),
        }
    )
    check_plan(plan, schema)
    return plan


def _method(method: Method | str) -> Method:
    """Read a method by name."""
    try:
        return Method(method)
    except ValueError:
        names = ", ".join(m.value for m in Method)
        raise InvalidPlan(f"method {str(method)!r} is not known", hint=f"use {names}") from None


def _noise(
    sizes: Mapping[PhaseName, _Size], *, rho: Fraction, method: Method, rows_per_person: int
) -> tuple[Phase, ...]:
    """Split ``rho`` by the method's shares and round every sigma2 up to a multiple of 1/1024."""
    phases = []
    for name in PHASES[method]:
        size = sizes[name]
        norm2 = (rows_per_person * size.bound) ** 2
        exact = Fraction(size.marginals * norm2) / (2 * rho * SHARES[method][name])
        sigma2 = Fraction(-((-exact * _STEP) // 1), _STEP)
        phases.append(
            Phase(
                name=name,
                marginals=size.marginals,
                cells=size.cells,
                sigma2=sigma2,
                bound=size.bound,
            )
        )
    return tuple(phases)


def _phase_sizes(
    domain: Domain, *, method: Method, workload: tuple[Clique, ...]
) -> dict[PhaseName, _Size]:
    """Return the most that each phase can ask, in Python integers."""
    if not domain.attributes:
        raise InvalidSchema("the schema has no attribute that marginals can count")
    sizes = {PhaseName.ONE_WAY: _Size(marginals=len(domain.shape), cells=sum(domain.shape))}
    if method is Method.MST:
        sizes |= _tree_sizes(domain)
    if method is Method.FIXED:
        cells = [domain.size(c) for c in workload]
        for clique, count in zip(workload, cells, strict=True):
            if count > MAX_CELLS_PER_MARGINAL:
                raise InvalidPlan(
                    f"the marginal over {', '.join(clique)} has {count} cells; "
                    f"at most {MAX_CELLS_PER_MARGINAL} are allowed",
                    hint="give its attributes fewer bins or categories, or leave it out",
                )
        sizes[PhaseName.WORKLOAD] = _Size(marginals=max(len(workload), 1), cells=sum(cells) or 1)
    total = sum(s.cells for s in sizes.values())
    if total > MAX_CELLS_PER_PLAN:
        raise InvalidPlan(
            f"the plan may ask for {total} cells; at most {MAX_CELLS_PER_PLAN} are allowed",
            hint="give large attributes fewer bins or categories",
        )
    return sizes


def _features(schema: Schema, *, frequencies: int, order: int) -> FeatureSettings:
    """Return the random features of a plan, with a public seed of its own."""
    label = schema.label if schema.label in schema.domain.attributes else None
    if len(schema.coded) < (1 if label is None else 2):
        raise InvalidPlan("the method one-shot needs an attribute beside the label")
    try:
        return FeatureSettings(
            frequencies=frequencies, order=order, seed=secrets.randbelow(2**31), label=label
        )
    except ValidationError as err:
        raise InvalidPlan(
            f"{frequencies} frequencies of order {order} are out of range",
            hint="use 1 to 16384 frequencies, and an order of 1 or 2",
        ) from err


def _embedding_size(domain: Domain, features: FeatureSettings) -> _Size:
    """Return the size of the one vector that the method one-shot sums."""
    cells = feature_cells(features, clique=domain.attributes, domain=domain)
    if cells > MAX_CELLS_PER_MARGINAL:
        raise InvalidPlan(
            f"the features make {cells} cells; at most {MAX_CELLS_PER_MARGINAL} are allowed",
            hint="lower the frequencies, or merge classes of the label",
        )
    return _Size(marginals=1, cells=cells, bound=features.bound)


def _tree_sizes(domain: Domain) -> dict[PhaseName, _Size]:
    """Return the sizes of the two phases that find and measure a tree."""
    if len(domain.attributes) < 2:
        raise InvalidPlan(
            "the method mst needs at least two attributes", hint="use the method independent"
        )
    groups = [min(size, MOST_GROUPS) for size in domain.shape]
    pairs = list(combinations(domain.shape, 2))
    edges = len(domain.shape) - 1
    largest = sorted((min(a * b, MAX_CELLS_PER_MARGINAL) for a, b in pairs), reverse=True)
    return {
        PhaseName.COARSE: _Size(
            marginals=len(pairs), cells=sum(a * b for a, b in combinations(groups, 2))
        ),
        PhaseName.TREE: _Size(marginals=edges, cells=sum(largest[:edges])),
    }
