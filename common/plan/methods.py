"""What a plan of each method says, and which phases it has: one class a method, one table.

A plan keeps its fields side by side, as it is stored and signed; these read them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar

from silosynth.common.domain import Clique
from silosynth.common.families import NORM_BINS
from silosynth.common.generator import (
    CentralSettings,
    FeatureSettings,
    ProjectionSettings,
    VoteSettings,
)
from silosynth.common.plan.held_out import EvaluationSettings
from silosynth.common.plan.phases import OF_VOTES, HasPhases, Phase, PhaseName, phase_noise
from silosynth.common.plan.training import BOUND, TrainingSettings
from silosynth.common.plan.trust import Trust

_MOST_SUMMED = 2**18
"""Sums of gradients that may be added up: of 2^32 rows each, they stay below 2^62."""

_LEAST_GRADIENT_NOISE = 2**10


class Method(StrEnum):
    """How the coordinator chooses what to measure."""

    INDEPENDENT = "independent"
    MST = "mst"
    AIM = "aim"
    FIXED = "fixed"
    ONE_SHOT = "one-shot"
    DP_SGD = "dp-sgd"
    MIXTURE = "mixture"
    COPULA = "copula"
    PROJECTION = "projection"
    CENTRAL = "central"
    VOTES = "votes"
    FAMILIES = "families"
    EVALUATE = "evaluate"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True, kw_only=True)
class Independent(HasPhases):
    """Every attribute by itself."""

    phases: ClassVar = (PhaseName.ONE_WAY,)
    pairs_at_most: ClassVar = True
    takes_over: ClassVar = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Mst(HasPhases):
    """A spanning tree of the pairs that depend most."""

    phases: ClassVar = (PhaseName.ONE_WAY, PhaseName.COARSE, PhaseName.TREE)
    pairs_at_most: ClassVar = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim(HasPhases):
    """Rounds of the pairs that the model is furthest from, for a workload or for all pairs."""

    phases: ClassVar = (
        PhaseName.ONE_WAY,
        PhaseName.COARSE,
        PhaseName.ROUND_1,
        PhaseName.ROUND_2,
        PhaseName.ROUND_3,
    )
    fewest: ClassVar = 3
    workload: tuple[Clique, ...] = ()
    weights: tuple[int, ...] = ()
    edition: int | None = None

    def __post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self.workload):
            raise ValueError("weights: give one for each marginal of the workload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed(HasPhases):
    """The marginals that the plan lists."""

    phases: ClassVar = (PhaseName.ONE_WAY, PhaseName.WORKLOAD)
    pairs_at_most: ClassVar = True
    takes_over: ClassVar = True
    workload: tuple[Clique, ...]

    def __post_init__(self) -> None:
        if not self.workload:
            raise ValueError("workload: the method fixed needs one")


class Vectors(HasPhases):
    """What methods have in common that sum vectors of whole rows, one sum a phase.

    ``asked`` names the plan's field of settings, whose ``bound`` is the norm of a row's vector.
    """

    __slots__ = ()
    whole_rows: ClassVar = True
    asked: ClassVar[str]

    def __post_init__(self) -> None:
        if getattr(self, self.asked) is None:
            raise ValueError(_FOREIGN[self.asked])

    def bound(self, phase: Phase) -> int:
        """Return the norm of what one row adds to the sum of a phase."""
        return 1 if phase.name is PhaseName.ONE_WAY else int(getattr(self, self.asked).bound)

    def check(self, phases: Sequence[Phase], *, silos: Sequence[str], trust: Trust) -> None:
        """Raise ValueError unless each phase after the counts asks for one sum."""
        HasPhases.check(self, phases, silos=silos, trust=trust)
        for phase in phases:
            if phase.name is not PhaseName.ONE_WAY and phase.marginals != 1:
                raise ValueError(f"phases: {phase.name.value} asks for one sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneShot(Vectors):
    """One sum of random features, which a generator is trained on."""

    phases: ClassVar = (PhaseName.ONE_WAY, PhaseName.EMBEDDING)
    asked: ClassVar = "features"
    features: FeatureSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture(HasPhases):
    """All pairs at once, which a mixture of independent attributes is fitted to."""

    phases: ClassVar = (PhaseName.ONE_WAY, PhaseName.COARSE)
    pairs_at_most: ClassVar = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Copula(HasPhases):
    """All pairs of attributes cut in two, which a Gaussian copula is fitted to."""

    phases: ClassVar = (PhaseName.ONE_WAY, PhaseName.COARSE)
    pairs_at_most: ClassVar = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection(Vectors):
    """One sum of projected rows and of their second moments, which normal laws are fitted to."""

    phases: ClassVar = (PhaseName.ONE_WAY, PhaseName.PROJECTION)
    asked: ClassVar = "projection"
    projection: ProjectionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Central(Vectors):
    """Pictures summed by class, then how they differ from the middle of their class."""

    phases: ClassVar = (PhaseName.ONE_WAY, PhaseName.CENTRAL, PhaseName.AROUND)
    asked: ClassVar = "central"
    central: CentralSettings

    def bound(self, phase: Phase) -> int:
        """Return the norm of a picture, and of what a difference adds."""
        return self.central.bounds.get(phase.name.value, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes(Vectors):
    """Rounds of candidates, each row voting for the one that its text is nearest to."""

    phases: ClassVar = (PhaseName.ONE_WAY, *OF_VOTES)
    fewest: ClassVar = 2
    reads_texts: ClassVar = True
    holds_out: ClassVar = False
    asked: ClassVar = "votes"
    votes: VoteSettings

    def bound(self, phase: Phase) -> int:
        """Return 1: a row votes for one candidate at most."""
        return 1

    def check(self, phases: Sequence[Phase], *, silos: Sequence[str], trust: Trust) -> None:
        """Raise ValueError unless each round asks for one histogram, and the counts for a label."""
        Vectors.check(self, phases, silos=silos, trust=trust)
        if phases[0].marginals != 1:
            raise ValueError("phases: votes are of one label, which asks for one sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class DpSgd(HasPhases):
    """A generator whose gradients are noised."""

    phases: ClassVar = (PhaseName.ONE_WAY, PhaseName.TRAINING)
    whole_rows: ClassVar = True
    reads_texts: ClassVar = True
    samples_persons: ClassVar = True
    training: TrainingSettings

    def __post_init__(self) -> None:
        if self.training is None:
            raise ValueError("training: the method dp-sgd needs it, and no other has it")

    def check(self, phases: Sequence[Phase], *, silos: Sequence[str], trust: Trust) -> None:
        """Raise ValueError unless the phase of training says what its settings say."""
        HasPhases.check(self, phases[:-1], silos=silos, trust=trust)
        how, phase = self.training, phases[-1]
        if phase.rate is None:
            raise ValueError("phases: the phase training has a rate, and no other")
        if (phase.bound, phase.marginals) != (BOUND, how.steps):
            raise ValueError(f"phases: training must have bound {BOUND} and rounds x local_steps")
        if how.optimiser not in trust.optimisers:
            names = ", ".join(trust.optimisers)
            raise ValueError(f"training: with {trust.mode.value} noise, optimiser is {names}")
        if how.sizes and set(how.sizes) != set(silos):
            raise ValueError("training: sizes must name exactly the silos")
        if how.local_steps * len(silos) > _MOST_SUMMED:
            raise ValueError("training: too many local_steps for so many silos")
        share = phase_noise(phase, shares=trust.shares(len(silos))).share
        if share.variance(silos=1) < _LEAST_GRADIENT_NOISE:
            raise ValueError("phases: the noise of training is too small")


@dataclass(frozen=True, slots=True, kw_only=True)
class Families(HasPhases):
    """Several tables: persons, the first row of each table below, and all others, weighed."""

    phases: ClassVar = (
        PhaseName.LENGTHS,
        PhaseName.PERSONS,
        PhaseName.FIRST,
        PhaseName.LATER,
    )
    several_tables: ClassVar = True
    holds_out: ClassVar = False

    def bound(self, phase: Phase) -> int:
        """Return F where persons are weighed, 1 elsewhere."""
        return phase.fineness or 1

    def check(self, phases: Sequence[Phase], *, silos: Sequence[str], trust: Trust) -> None:
        """Raise ValueError unless the last phase weighs persons, and no other does."""
        HasPhases.check(self, phases, silos=silos, trust=trust)
        if any((p.fineness is None) != (p.name is not PhaseName.LATER) for p in phases):
            raise ValueError("phases: later has a fineness, and no other")
        for phase in phases:
            size = (phase.marginals, phase.cells)
            if phase.name is PhaseName.LENGTHS and size != (1, NORM_BINS):
                raise ValueError(f"phases: lengths asks for one histogram of {NORM_BINS} cells")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate(HasPhases):
    """A sampler judged by one vector of counters, of one norm, of the people who were held out."""

    phases: ClassVar = (PhaseName.EVALUATION,)
    evaluates: ClassVar = True
    evaluation: EvaluationSettings

    def __post_init__(self) -> None:
        if self.evaluation is None:
            raise ValueError(_FOREIGN["evaluation"])

    def bound(self, phase: Phase) -> int:
        """Return the norm that the phase states: that of its counters follows from the sampler.

        No silo answers where it works out a larger one.
        """
        return phase.bound

    def check(self, phases: Sequence[Phase], *, silos: Sequence[str], trust: Trust) -> None:
        """Raise ValueError unless one vector is asked."""
        HasPhases.check(self, phases, silos=silos, trust=trust)
        if phases[0].marginals != 1:
            raise ValueError("phases: evaluation asks for one vector")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift(Evaluate):
    """Everybody held against a sampler that was handed out: halves of pairs, and a count."""

    everybody: ClassVar = True

    def check(self, phases: Sequence[Phase], *, silos: Sequence[str], trust: Trust) -> None:
        """Raise ValueError unless one vector of halves and a count is asked."""
        Evaluate.check(self, phases, silos=silos, trust=trust)
        asked = self.evaluation
        if asked.likelihood or asked.targets or asked.witness is not None:
            raise ValueError("evaluation: the method drift asks for halves of pairs and a count")


Chosen = (
    Independent
    | Mst
    | Aim
    | Fixed
    | Mixture
    | Copula
    | OneShot
    | Projection
    | Central
    | Votes
    | DpSgd
    | Families
    | Evaluate
    | Drift
)
MEMBERS: Mapping[Method, type[Chosen]] = {
    Method.INDEPENDENT: Independent,
    Method.MST: Mst,
    Method.FIXED: Fixed,
    Method.AIM: Aim,
    Method.MIXTURE: Mixture,
    Method.COPULA: Copula,
    Method.ONE_SHOT: OneShot,
    Method.PROJECTION: Projection,
    Method.CENTRAL: Central,
    Method.VOTES: Votes,
    Method.DP_SGD: DpSgd,
    Method.FAMILIES: Families,
    Method.EVALUATE: Evaluate,
    Method.DRIFT: Drift,
}
ROUNDS = (PhaseName.ROUND_1, PhaseName.ROUND_2, PhaseName.ROUND_3)
_FOREIGN = {
    "workload": "workload: only the methods aim and fixed have one",
    "weights": "weights: only the method aim weighs its workload",
    "edition": "edition: only the method aim has one",
    "features": "features: the method one-shot needs them, and no other has them",
    "projection": "projection: the method projection needs it, and no other has it",
    "central": "central: the method central needs it, and no other has it",
    "votes": "votes: the method votes needs them, and no other has them",
    "training": "training: the method dp-sgd needs it, and no other has it",
    "evaluation": "evaluation: the methods evaluate and drift need it, and no other has it",
}

OF_METHODS = tuple(_FOREIGN)
"""The fields of a plan that belong to methods."""


def choose(method: Method, said: Mapping[str, Any]) -> Chosen:
    """Return what a plan says of its method; raise ValueError for what only others have.

    Args: said: the fields of a plan that belong to methods, empty or None where it says nothing.
    """
    member = MEMBERS[method]
    own = {f.name for f in fields(member)}
    for name, value in said.items():
        if value and name not in own:
            raise ValueError(_FOREIGN[name])
    return member(**{name: said[name] for name in own})


def check_phases(method: Method, phases: Sequence[Phase], *, spared: bool) -> None:
    """Raise ValueError unless the phases are the method's, in order; AIM may have fewer rounds.

    Args: spared: whether the silos' public sizes may stand in for the first phase.
    """
    names = tuple(p.name for p in phases)
    known: tuple[PhaseName, ...] = MEMBERS[method].phases
    if MEMBERS[method].several_tables:
        known = tuple(n for n in known if n in names or n is PhaseName.PERSONS)
        if (PhaseName.LENGTHS in names) != (PhaseName.LATER in names):
            raise ValueError("phases: lengths and later go together, for one says how long T is")
    fewest = MEMBERS[method].fewest or len(known)
    if spared and len(names) == 1:
        known, fewest = known[-1:], 1
    if names != known[: len(names)] or len(names) < fewest:
        raise ValueError(f"phases: method {method.value} has the phases {', '.join(known)}")
