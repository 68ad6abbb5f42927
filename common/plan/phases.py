"""The phases of a plan: what one message to each silo may ask, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import ClassVar, Self

from pydantic import Field, model_validator

from silosynth.common.accounting import GaussianCost, Noise
from silosynth.common.families import MOST_FINENESS
from silosynth.common.plan.fields import Exact, PlanModel
from silosynth.common.plan.trust import Trust

MOST_MARGINALS = 2**18
"""Of a phase: all pairs of 724 attributes."""

_LARGEST_PART = 1 - Fraction(1, 2**20)


class PhaseName(StrEnum):
    """The steps of a run, in the order in which they happen."""

    VALUES = "values"
    CLOSER = "closer"
    ONE_WAY = "one-way"
    COARSE = "coarse"
    TREE = "tree"
    ROUND_1 = "round-1"
    ROUND_2 = "round-2"
    ROUND_3 = "round-3"
    WORKLOAD = "workload"
    EMBEDDING = "embedding"
    PROJECTION = "projection"
    CENTRAL = "central"
    AROUND = "around"
    VOTES_1 = "votes-1"
    VOTES_2 = "votes-2"
    VOTES_3 = "votes-3"
    TRAINING = "training"
    LENGTHS = "lengths"
    PERSONS = "persons"
    FIRST = "first"
    LATER = "later"
    EVALUATION = "evaluation"


class Phase(PlanModel):
    """One message to each silo: at most ``marginals`` noised marginals, each with ``sigma2``.

    ``bound`` is the L2 norm that one row adds to each of them at most: 1 for counts. In a secret
    sum where silos lack columns, ``held`` is the most of them over columns that one silo holds: a
    row moves no others, so a silo pays for so many. The phase ``embedding`` asks for one sum of
    random features, which is no marginal but sums like one, and so does ``projection``, of sums and
    second moments of projected rows, ``central``, of pictures, and ``around``, of how they differ;
    those of votes ask for how many rows of each class are nearest to each candidate. The phases
    ``values`` and ``closer`` ask for histograms of one number's points each. The phase ``training``
    asks for ``marginals`` noised sums of gradients in all its requests together, each over every
    person with the chance ``rate``.

    A phase with a ``fineness`` F asks for marginals of families whose persons are weighed, so that
    all of them together move by F times T at most: one mechanism, however many marginals. Its
    ``sigma2`` is that at T = 1, and a request that states T gets T^2 times as much: what it costs
    stands in the plan, and T need not.
    """

    _ABSENT: ClassVar[frozenset[str]] = frozenset({"rate", "held", "fineness"})

    name: PhaseName
    marginals: int = Field(ge=1, le=MOST_MARGINALS)
    cells: int = Field(ge=1, le=2**40, description="most cells in all marginals of the phase")
    sigma2: Exact
    bound: int = Field(default=1, ge=1, le=2**31)
    rate: Exact | None = None
    fineness: int | None = Field(default=None, ge=2, le=MOST_FINENESS)
    held: int | None = Field(
        default=None,
        ge=1,
        le=MOST_MARGINALS,
        description="most marginals that one silo has rows for",
    )

    @model_validator(mode="after")
    def _chance(self) -> Self:
        if self.fineness is not None and (self.bound, self.rate) != (self.fineness, None):
            raise ValueError("fineness: is the bound of a phase that weighs persons")
        if self.rate is not None and self.rate > 1:
            raise ValueError("rate: is a chance, at most 1")
        if self.rate is not None and _LARGEST_PART < self.rate < 1:
            raise ValueError("rate: is too near to 1 for its accountant; write 1")
        return self

    @model_validator(mode="after")
    def _part(self) -> Self:
        if self.held is not None and self.fineness is not None:
            raise ValueError("held: has no meaning where persons are weighed; leave it out")
        if self.held is not None and self.held >= self.marginals:
            raise ValueError("held: is fewer than all marginals; leave it out")
        return self

    @property
    def paid(self) -> int:
        """Return for how many vectors a silo pays at most: the marginals that its rows can move.

        Where persons are weighed, all marginals together are one.
        """
        if self.fineness is not None:
            return 1
        return self.marginals if self.held is None else self.held

    @property
    def noise(self) -> Noise:
        """Return the noise of each marginal, all shares of it together."""
        return Noise(sigma2=self.sigma2, bound=self.bound, rate=self.rate or Fraction(1))


def noised_phase(
    name: PhaseName,
    noise: Noise,
    *,
    marginals: int,
    cells: int,
    rate: Fraction | None = None,
    fineness: int | None = None,
    held: int | None = None,
) -> Phase:
    """Return the phase that asks for so much with this noise, all shares of it together."""
    return Phase(
        name=name,
        marginals=marginals,
        cells=cells,
        sigma2=noise.sigma2,
        bound=noise.bound,
        rate=rate,
        fineness=fineness,
        held=held,
    )


def phase_cost(
    phase: Phase, *, rows_per_person: int, shares: int = 1, attempts: int = 1
) -> GaussianCost:
    """Return the noise of one phase as a mechanism for the accountant."""
    return phase_noise(phase, shares=shares).cost(
        count=phase.paid * attempts, rows_per_person=rows_per_person, cells=phase.cells
    )


def phase_noise(phase: Phase, *, shares: int, length: int = 1) -> Noise:
    """Return the noise of one phase, made up of so many shares.

    Guarantees: what it costs is the same at every ``length``: bound and deviation grow alike.

    Args: length: T, where persons are weighed.
    """
    noise = phase.noise
    return replace(
        noise, sigma2=noise.sigma2 * length**2, bound=noise.bound * length, shares=shares
    )


OF_VALUES = (PhaseName.VALUES, PhaseName.CLOSER)
"""What any plan with numbers begins with, whatever its method."""


OF_COLUMNS, OF_PAIRS = (
    (PhaseName.ONE_WAY,),
    (
        PhaseName.TREE,
        PhaseName.ROUND_1,
        PhaseName.ROUND_2,
        PhaseName.ROUND_3,
        PhaseName.WORKLOAD,
    ),
)
"""What measures columns as they are, and pairs as they are, and not merged to screen them."""
OF_ALL_PAIRS = (PhaseName.COARSE,)
"""What looks at all pairs."""
OF_VOTES = (PhaseName.VOTES_1, PhaseName.VOTES_2, PhaseName.VOTES_3)
"""What asks for votes, a round after the other."""
OF_ALL_ATTRIBUTES = (
    PhaseName.EMBEDDING,
    PhaseName.PROJECTION,
    PhaseName.CENTRAL,
    PhaseName.AROUND,
    *OF_VOTES,
)
"""What asks for one sum of whole rows' vectors in place of marginals."""

ABOUT_CENTRES = PhaseName.AROUND
OF_PICTURES = (PhaseName.CENTRAL, ABOUT_CENTRES)
"""What asks for pictures, and for how they differ from centres that its request names."""


class Views(StrEnum):
    """Which rows of several tables a phase is about."""

    PERSONS = "persons"
    FIRST = "first rows of tables right below them"
    OTHERS = "all other rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesPhase:
    """What a phase asks of several tables.

    ``lengths``: how long persons' counts are, and not the counts. ``weighs``: persons are weighed.
    """

    views: Views
    lengths: bool = False
    weighs: bool = False


TABLES_PHASES: Mapping[str, TablesPhase] = {
    PhaseName.LENGTHS: TablesPhase(views=Views.OTHERS, lengths=True),
    PhaseName.PERSONS: TablesPhase(views=Views.PERSONS),
    PhaseName.FIRST: TablesPhase(views=Views.FIRST),
    PhaseName.LATER: TablesPhase(views=Views.OTHERS, weighs=True),
}
"""The phases of several tables, in their order."""


class HasPhases:
    """What methods have in common: phases in their order, which ask for counts of bound 1."""

    __slots__ = ()
    phases: ClassVar[tuple[PhaseName, ...]]
    fewest: ClassVar[int | None] = None
    """How many phases there are at least; all if None."""

    pairs_at_most: ClassVar[bool] = False
    """Whether it asks no marginal of more than two columns, but those that its plan names."""

    whole_rows: ClassVar[bool] = False
    """Whether it learns from whole rows, not from marginals alone."""

    reads_texts: ClassVar[bool] = False
    samples_persons: ClassVar[bool] = False
    """Whether a person takes part by chance, so that Rényi orders tell the cost better."""

    evaluates: ClassVar[bool] = False
    """Whether it makes no sampler, but judges one on the people who were held out."""

    everybody: ClassVar[bool] = False
    """Whether it judges a sampler on everybody, to see whether people have moved away from it."""

    takes_over: ClassVar[bool] = False
    """Whether it may take what it does not measure from a sampler that was handed out."""

    several_tables: ClassVar[bool] = False
    """Whether it is for a schema of several tables; a person is then all rows below one."""

    holds_out: ClassVar[bool] = True
    """Whether people may be held out to judge its sampler, which takes two columns of one table."""

    def bound(self, phase: Phase) -> int:
        """Return the L2 norm that one row adds to a vector of ``phase`` at most."""
        return 1

    def check(self, phases: Sequence[Phase], *, silos: Sequence[str], trust: Trust) -> None:
        """Raise ValueError unless the phases state the norm that a row can add to them."""
        for phase in phases:
            if phase.bound != self.bound(phase):
                raise ValueError(f"phases: {phase.name.value} must have bound {self.bound(phase)}")
            if phase.rate is not None:
                raise ValueError("phases: the phase training has a rate, and no other")
            if phase.fineness is not None and not self.several_tables:
                raise ValueError("phases: only the method families weighs persons")
