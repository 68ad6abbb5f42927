"""Plan an evaluation of a run's sampler by the people whom the run held out."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from silosynth.common.accounting import rho_for
from silosynth.common.certificate import Certificate
from silosynth.common.digest import NO_DIGEST, digest_of
from silosynth.common.errors import InvalidPlan
from silosynth.common.held import Inputs, inputs_digest, norm_bound, vector_cells, work_out
from silosynth.common.measurement import Measurement
from silosynth.common.plan import EvaluationSettings, Method, PhaseName, Plan, parse_plan
from silosynth.common.sampler import DrawsRows, Sampler, parse_sampler
from silosynth.server.methods import Size, Terms, calibrated

PARTS: Mapping[str, float] = {
    "halves": 0.60,
    "likelihood": 0.10,
    "scores": 0.20,
    "witness": 0.05,
    "count": 0.05,
}
"""Of rho, where all of them are asked for; see decision 121."""
_REPEATS = 3e-4
_SCALE = 2**11
KEPT = frozenset(
    {
        *("schema_name", "schema_digest", "silos", "roster", "dataset", "project", "trust"),
        *("colluders", "absent", "attempts", "on_absent", "deadline_seconds", "approval_seconds"),
    }
)
"""What a plan about a run's sampler has from that run's plan as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What is wanted of an evaluation.

    ``epsilon`` and ``delta`` are the run's where they are None. ``measured`` are the run's own
    releases of pairs, which witness cells are read off. ``groups`` are the most of a column,
    ``repeats`` the halves of each pair, as many as fit the people where they are None, ``rows`` how
    many are drawn of the sampler.
    """

    epsilon: float | None = None
    delta: float | None = None
    targets: Sequence[str] = ()
    plan_id: str | None = None
    seed: int | None = None
    groups: int = 8
    repeats: int | None = None
    rows: int = 2**17
    measured: Sequence[Measurement] = field(default=(), repr=False)


def plan_evaluation(trained: Plan, sampler: bytes, *, sought: Sought) -> tuple[Plan, Inputs]:
    """Return the plan that asks the people held out of ``trained`` about its sampler.

    Guarantees: it costs them at most (epsilon, delta), and those who were trained on nothing.

    Raises InvalidPlan where nobody was held out, or a target cannot be predicted.
    """
    if trained.held_out is None or trained.chosen.evaluates:
        raise InvalidPlan(
            f"plan {trained.id} held nobody out, so there is nobody to evaluate it on",
            hint="train with a plan made by 'silosynth plan new --held-out 1/10'",
        )
    read = parse_sampler(sampler)
    if read.plan_digest != trained.digest:
        raise InvalidPlan("the sampler is of another plan than the run's")
    terms = judging_terms(
        trained,
        epsilon=sought.epsilon or trained.privacy.epsilon,
        delta=sought.delta or trained.privacy.delta,
    )
    inputs = _settle(trained, read, digest_of(sampler), sought=sought, terms=terms)
    plan_id = sought.plan_id or f"{trained.id[:48]}-eval-{secrets.token_hex(4)}"
    also = trained.model_dump(mode="json", include={"held_out"})
    plan = judging_plan(trained, inputs, method=Method.EVALUATE, terms=terms, id=plan_id, **also)
    return plan, inputs


def refuse_lacks(trained: Plan) -> None:
    """Raise InvalidPlan for a run whose silos lack columns: nothing is asked of its sampler.

    A plan about it asks every silo of every column, and a silo that lacks one would refuse it.
    """
    for silo, lacked in sorted((trained.lacks or {}).items()):
        raise InvalidPlan(
            f"plan {trained.id} was for silos of which silo {silo} lacks {lacked[0]!r}, and a plan "
            "about its sampler asks whole rows of all of them",
            hint="run a whole plan again, with --lacks",
        )


def judging_terms(trained: Plan, *, epsilon: float, delta: float) -> Terms:
    """Return what a plan about the sampler of ``trained`` is made within.

    Raises InvalidPlan as :func:`refuse_lacks` does.
    """
    refuse_lacks(trained)
    return Terms(
        epsilon=epsilon,
        delta=delta,
        rows_per_person=trained.privacy.rows_per_person,
        silos=len(trained.silos),
        trust=trained.sharing,
    )


def judging_plan(
    trained: Plan, inputs: Inputs, *, method: Method, terms: Terms, **also: object
) -> Plan:
    """Return the plan that asks for one vector about the sampler of ``trained``.

    Guarantees: it costs a person at most what ``terms`` grant.

    Args: inputs: with settings that are whole. also: further fields of the plan, as plain data.
    """
    size = Size(marginals=1, cells=vector_cells(inputs), bound=norm_bound(inputs))
    name = PhaseName.EVALUATION
    privacy = {"epsilon": terms.epsilon, "delta": terms.delta}
    return parse_plan(
        trained.model_dump(mode="json", include=set(KEPT))
        | also
        | {
            "privacy": trained.privacy.model_copy(update=privacy),
            "method": method.value,
            "evaluation": inputs.settings,
            "phases": calibrated({name: size}, shares={name: Fraction(1)}, terms=terms),
        }
    )


def forecast_evaluation(plan: Plan, inputs: Inputs, *, people: float) -> dict[str, float]:
    """Return the standard deviation that noise gives each number, at so many people held out.

    Before anything is spent: of noise alone, beside which the people are a sample.
    """
    silos = len(plan.silos)
    sigma = math.sqrt(plan.noise(plan.phases[0]).variance(silos=silos))
    halves, likelihood, scores, witness, count = plan.evaluation.weights  # type: ignore[union-attr]
    pairs = len(inputs.pairs)
    unit = (sigma / halves / people) ** 2
    told = {
        "people": sigma / count,
        "squared distance": math.sqrt(2 / inputs.blocks["halves"]) * unit,
    }
    if inputs.law is not None:
        told["gain"] = sigma / likelihood / 256 / people
    if inputs.witness:
        told["lower bound"] = sigma / witness / people / pairs
    for target in inputs.targets:
        cells = 2 * inputs.settings.bins
        told[f"AUC of {target.name}"] = sigma / scores / people * math.sqrt(cells / 3)
    return told


def witness_cells(inputs: Inputs, measured: Sequence[Measurement], read: DrawsRows) -> str | None:
    """Return a bit for each cell of each pair where the releases are above the sampler, in hex.

    Only pairs whose measured groups lie within the evaluation's say anything; None without any.
    """
    domain = read.domain
    bits = [np.zeros(len(s), dtype=bool) for s in inputs.shares]
    known = 0
    for number, (first, second) in enumerate(inputs.pairs):
        names = (domain.attributes[first], domain.attributes[second])
        for m in measured:
            if m.clique != names:
                continue
            found = _merged(m, inputs, (first, second), read)
            if found is not None and found.sum() > 0:
                q = inputs.shares[number] / inputs.shares[number].sum()
                bits[number] = found / found.sum() > q
                known += 1
                break
    return np.packbits(np.concatenate(bits)).tobytes().hex() if known else None


def _merged(
    measured: Measurement, inputs: Inputs, pair: tuple[int, int], read: DrawsRows
) -> np.ndarray | None:
    """Return a measured pair by the cells of the evaluation; None where its groups cut through.

    Measurements are over the sampler's working codes, or over merges of them.
    """
    maps = []
    for name, place in zip(measured.clique, pair, strict=True):
        working = read.grouping.lookup(name, read.domain.shape[place])
        look = measured.grouping.lookup(name, int(working.max()) + 1)[working]
        step = np.full(int(look.max()) + 1, -1)
        step[look] = inputs.groups[place]
        if not np.array_equal(step[look], inputs.groups[place]):
            return None
        maps.append(step)
    sizes = [inputs.sizes[i] for i in pair]
    cells = (maps[0][:, None] * sizes[1] + maps[1][None, :]).ravel()
    return np.bincount(cells, weights=measured.values, minlength=sizes[0] * sizes[1])


def _settle(
    trained: Plan, sampler: DrawsRows, digest: str, *, sought: Sought, terms: Terms
) -> Inputs:
    """Return the inputs with settings that are whole: halves, weights and digest."""
    certificate = Certificate.model_validate(dict(sampler.certificate))
    settings = EvaluationSettings(
        trained=trained.digest,
        trained_units=certificate.rho_units,
        trained_epsilon=certificate.epsilon,
        sampler=digest,
        inputs=NO_DIGEST,
        seed=secrets.randbelow(2**31) if sought.seed is None else sought.seed,
        rows=sought.rows,
        groups=sought.groups,
        repeats=1,
        likelihood=isinstance(sampler, Sampler),
        clip=8 if len(sampler.domain.shape) <= 15 else 12,
        targets=tuple(sought.targets),
        cuts="classes" if sought.targets else None,
        weights=(1, 1, 1, 1, 1),
    )
    inputs = work_out(sampler, settings)
    witness = witness_cells(inputs, sought.measured, sampler)
    people = _people(trained, sampler)
    repeats = sought.repeats or _repeats(people, pairs=len(inputs.pairs), terms=terms)
    update = {"repeats": repeats, "witness": witness}
    inputs = work_out(sampler, settings.model_copy(update=update))
    whole = {"weights": _weights(inputs), "inputs": inputs_digest(inputs)}
    return replace(inputs, settings=inputs.settings.model_copy(update=whole))


def _repeats(people: float, *, pairs: int, terms: Terms) -> int:
    """Return how many halves of each pair fit so many people; see the source of decision 121."""
    rho = float(rho_for(terms.epsilon, terms.delta)) * PARTS["halves"]
    noise = math.sqrt(terms.noises / (2 * rho))
    return int(np.clip(round(_REPEATS * (people / noise) ** 2 / pairs), 1, 16))


def expected_people(trained: Plan, sampler: bytes) -> float:
    """Return about how many people were held out, by the rows that were trained on."""
    return _people(trained, parse_sampler(sampler))


def _people(trained: Plan, sampler: DrawsRows) -> float:
    share = float(trained.held_out.share) if trained.held_out else 0.0
    return max(sampler.total * share / (1 - share), 2.0)


def _weights(inputs: Inputs) -> tuple[int, int, int, int, int]:
    """Return whole weights by which each block of counters gets its part of the norm's square."""
    ones = replace(inputs, settings=inputs.settings.model_copy(update={"weights": (1,) * 5}))
    settings, pairs = ones.settings, len(inputs.pairs)
    steps = 128 * (settings.clip + math.log(10))
    farthest = max(inputs.centre, pairs - inputs.centre)
    norms = {
        "halves": math.sqrt(inputs.blocks["halves"]),
        "likelihood": steps,
        "scores": math.sqrt(max(len(inputs.targets), 1)),
        "witness": farthest,
        "count": 1.0,
    }
    whole = _SCALE * norms["halves"] / math.sqrt(PARTS["halves"])
    halves, likelihood, scores, witness, count = (
        int(np.clip(round(whole * math.sqrt(PARTS[name]) / norm), 1, 2**20))
        for name, norm in norms.items()
    )
    return halves, likelihood, scores, witness, count
