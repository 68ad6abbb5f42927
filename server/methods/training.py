"""The part of a plan that trains a generator with DP-SGD: its settings, and noise that fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pydantic import ValidationError

from silosynth.common.accounting import (
    SMOOTHING,
    GaussianCost,
    Noise,
    pld_epsilon,
    rdp_epsilon,
    rho_for,
)
from silosynth.common.codec import layout_of, modelled_texts
from silosynth.common.document import describe_validation
from silosynth.common.errors import InvalidPlan
from silosynth.common.generator import Architecture, MaskedMlp, Transformer
from silosynth.common.plan import (
    BOUND,
    Method,
    Optimiser,
    Phase,
    PhaseName,
    TrainingSettings,
    noised_phase,
    phase_cost,
)
from silosynth.common.schema import CodedAttribute, Schema
from silosynth.server.methods.budget import value_phases
from silosynth.server.methods.marginals import check_zeros
from silosynth.server.methods.method import Terms

ONE_WAY_SHARE = Fraction(1, 5)
"""The part of rho that buys the 1-way marginals that training starts from."""

_LARGEST_NOISE = 2.0**20
_BISECTIONS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingChoice:
    """What a person may choose; what is None is chosen by trust, see docs/decisions/026."""

    architecture: Architecture | None = None
    rounds: int | None = None
    local_steps: int | None = None
    rate: Fraction | None = None
    clip: float = 1.0
    optimiser: Optimiser | None = None
    learning_rate: float | None = None
    local_learning_rate: float | None = None
    sizes: Mapping[str, int] | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTraining:
    """Settings, and the phases with their noise."""

    settings: TrainingSettings
    phases: tuple[Phase, ...]


def plan_training(
    schema: Schema,
    choice: TrainingChoice,
    terms: Terms,
) -> PlannedTraining:
    """Return the settings and phases whose privacy loss distribution gives at most ``epsilon``.

    Raises InvalidPlan for a schema that cannot be learnt, settings out of range, or a budget that
    no noise is enough for; CapExceeded for a network that is too large.
    """
    _check_learnable(schema)
    own, shares, attempts = not terms.trust.masked, max(terms.shares, 1), terms.trust.attempts
    rows_per_person, delta = terms.rows_per_person, terms.delta
    settings = _settings(schema, choice, own=own)
    rate = choice.rate or _habit(settings.architecture, own=own, shows=_shows(schema)).rate
    rho = rho_for(terms.epsilon, delta) / attempts / rows_per_person**2
    before = (
        *value_phases(terms, rho=rho, least=Fraction(shares)),
        *_one_way(schema, settings, rho=rho * ONE_WAY_SHARE, shares=shares),
    )
    cells = settings.architecture.parameters(layout_of(schema))

    def phases(noise: float) -> tuple[Phase, ...]:
        unscaled = (Fraction(noise).limit_denominator(2**20) * BOUND * rows_per_person) ** 2
        training = noised_phase(
            PhaseName.TRAINING,
            Noise.at_least(unscaled + SMOOTHING, bound=BOUND),
            marginals=settings.steps,
            cells=cells,
            rate=rate,
        )
        return (*before, training)

    def costs(noise: float) -> list[GaussianCost]:
        return [
            phase_cost(p, rows_per_person=rows_per_person, shares=shares, attempts=attempts)
            for p in phases(noise)
        ]

    least = (32 * shares) ** 0.5 / BOUND
    noise = _calibrate(costs, epsilon=terms.epsilon, delta=delta, least=least)
    return PlannedTraining(settings=settings, phases=phases(noise))


def _calibrate(
    costs: Callable[[float], Sequence[GaussianCost]], *, epsilon: float, delta: float, least: float
) -> float:
    """Return nearly the least noise whose privacy loss distribution stays within the budget.

    Rényi orders give noise that is enough, at next to no time; the last steps downwards, to within
    0.3 % of that, are by the distribution itself.
    """
    low, high = least, max(2 * least, 1.0)
    while rdp_epsilon(costs(high), delta) > epsilon:
        low, high = high, 2 * high
        if high > _LARGEST_NOISE:
            raise InvalidPlan(
                f"no noise keeps so much training within epsilon {epsilon:g}",
                hint="lower the rounds or the rate, or raise epsilon",
            )
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if rdp_epsilon(costs(middle), delta) > epsilon else (low, middle)
    low = max(least, 0.7 * high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if pld_epsilon(costs(middle), delta) > epsilon else (low, middle)
    return high


def _one_way(
    schema: Schema, settings: TrainingSettings, *, rho: Fraction, shares: int
) -> tuple[Phase, ...]:
    """Return the phase that counts every attribute; none for a schema of texts alone.

    Raises InvalidPlan where then nothing says how many rows there are.
    """
    shape = schema.domain.shape
    if not shape and not settings.sizes:
        raise InvalidPlan(
            f"schema {schema.name!r} has no attribute to count rows by",
            hint="state the silos' public numbers of rows with --sizes",
        )
    if not shape:
        return ()
    noise = Noise.for_rho(rho, count=len(shape), least=Fraction(shares))
    return (noised_phase(PhaseName.ONE_WAY, noise, marginals=len(shape), cells=sum(shape)),)


def _settings(schema: Schema, choice: TrainingChoice, *, own: bool) -> TrainingSettings:
    """Fill in what was not chosen."""
    shows = _shows(schema)
    optimiser = choice.optimiser or (Optimiser.FEDADAM if own else Optimiser.ADAM)
    architecture = choice.architecture or (MEDIA_NETWORK if shows else TABLE_NETWORK)
    habit = _habit(architecture, own=own, shows=shows)
    values = {
        "architecture": architecture,
        "seed": choice.seed,
        "rounds": choice.rounds or habit.rounds,
        "local_steps": choice.local_steps or habit.local_steps,
        "clip": choice.clip,
        "optimiser": optimiser,
        "learning_rate": choice.learning_rate or habit.learning_rates[optimiser],
        "local_learning_rate": choice.local_learning_rate or (LOCAL_RATE if own else None),
        "sizes": dict(choice.sizes or {}),
    }
    try:
        return TrainingSettings.model_validate(values)
    except ValidationError as err:
        raise InvalidPlan(f"training: {describe_validation(err, values)}") from err


def _shows(schema: Schema) -> bool:
    """Say whether the schema has images or texts that a generator learns."""
    return bool(schema.images or modelled_texts(schema))


TABLE_NETWORK = MaskedMlp(width=32, layers=1, views=8)
MEDIA_NETWORK = Transformer(width=16, layers=1, heads=2)
"""For images and texts; see docs/decisions/029, as for how it trains."""

LOCAL_RATE = 1.0
LEARNING_RATES = {
    Optimiser.SGD: 0.5,
    Optimiser.ADAM: 0.002,
    Optimiser.FEDAVG: 1.0,
    Optimiser.FEDADAM: 0.005,
    Optimiser.FEDYOGI: 0.005,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Habit:
    """How a network is trained unless a person chooses otherwise, see docs/decisions/030."""

    rounds: int
    local_steps: int
    rate: Fraction
    learning_rates: Mapping[Optimiser, float]


_LARGE = dict.fromkeys((Optimiser.ADAM, Optimiser.FEDADAM, Optimiser.FEDYOGI), 0.025)
FEW_LARGE = _Habit(
    rounds=50, local_steps=1, rate=Fraction(1, 10), learning_rates=LEARNING_RATES | _LARGE
)
MEDIA_SHARED = _Habit(
    rounds=100,
    local_steps=1,
    rate=Fraction(1, 10),
    learning_rates=LEARNING_RATES | {Optimiser.ADAM: 0.02},
)
MANY_SMALL = _Habit(rounds=300, local_steps=1, rate=Fraction(1, 20), learning_rates=LEARNING_RATES)
MANY_LOCAL = _Habit(rounds=30, local_steps=10, rate=Fraction(1, 20), learning_rates=LEARNING_RATES)


def _habit(architecture: Architecture, *, own: bool, shows: bool) -> _Habit:
    """Return few large steps for small networks, many small ones for large ones."""
    if isinstance(architecture, MaskedMlp):
        return FEW_LARGE
    if own:
        return MANY_LOCAL
    return MEDIA_SHARED if shows and isinstance(architecture, Transformer) else MANY_SMALL


def _check_learnable(schema: Schema) -> None:
    """Raise InvalidPlan for what a generator would learn wrongly or not at all."""
    check_zeros(schema, method=Method.DP_SGD)
    for attribute in schema.coded:
        if attribute.name == schema.label and _classes(attribute) == 1:
            raise InvalidPlan(
                f"the label {schema.label!r} has one class",
                hint="declare its other classes, or name another label",
            )


def _classes(attribute: CodedAttribute) -> int | None:
    """Return how many classes a label lists; None where it is not listed."""
    return attribute.values if attribute.kind == "categorical" else None
