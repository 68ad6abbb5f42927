"""What the coordinator knows of a run, what happens to it, and what it wants done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from silosynth.common.errors import SilosynthError
from silosynth.common.measurement import Measurement
from silosynth.common.messages import Receipt, Release, Request, SumStep
from silosynth.common.plan import OF_VALUES, PhaseName, Plan
from silosynth.common.sampler import NeuralSampler
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema
from silosynth.common.values import Spread
from silosynth.server.coordinator.agreement import Agreement, SumStage
from silosynth.server.coordinator.of_tables import OfTables
from silosynth.server.coordinator.renewed import Renewed
from silosynth.server.generator import Learning
from silosynth.server.measuring import sum_masked, sum_releases, to_all_rows
from silosynth.server.methods import Known, Question, Wanted
from silosynth.server.values import Values

_COUNTS = PhaseName.ONE_WAY
"""The phase that says how many rows there are, and which codes are rare."""


class Stage(StrEnum):
    """Where a run stands."""

    PROPOSE = "propose"
    AGREE = "agree"
    IMAGINE = "imagine"
    MEASURE = "measure"
    FIT = "fit"
    DELIVER = "deliver"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A silo sent ``data``, its verdict on the plan."""

    silo: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """A silo had not decided when the plan's time for approval was over."""

    silo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A silo sent ``data``, a release or a refusal."""

    phase: PhaseName
    silo: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A silo did not answer before the deadline."""

    phase: PhaseName
    silo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The model is fitted, and the sampler with this digest is on disk."""

    sampler_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A silo sent ``data``, its word on the result."""

    silo: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A silo said nothing to the result before the deadline."""

    silo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A silo sent ``data``: its keys, its vote on a set, or a refusal."""

    asked: SumStage
    session: int
    silo: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """A silo did not take its step towards a sum before the deadline."""

    asked: SumStage
    session: int
    silo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imagined:
    """The generator wrote ``data``, the candidates of a round of votes."""

    phase: PhaseName
    data: bytes


Event = (
    Decided
    | Undecided
    | Stated
    | Mute
    | Imagined
    | Answered
    | Absent
    | Fitted
    | Acknowledged
    | Silent
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose:
    """Show the plan to a silo until it has decided."""

    silo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Send ``request`` to its silo."""

    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Agree:
    """Ask a silo for its keys, or for its vote on the set of all keys."""

    silo: str
    asked: SumStage
    step: SumStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Tell whoever watches, before what follows is asked."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imagine:
    """Have the generator write the candidates that a round of votes wants."""

    wanted: Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Every phase is answered: fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Send the result to a silo."""

    silo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The run cannot go on."""

    error: SilosynthError


Command = Propose | Agree | Notice | Imagine | Ask | Finish | Deliver | End | Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class State(OfTables):
    """Where a run stands; ``phase`` is None when no phase is open.

    ``silos`` are those that still take part, ``left`` says why others do not, and ``acknowledged``
    what each silo had against the result: nothing, if it is well. ``learning`` is there while and
    after a generator is trained; ``rounds`` are those before, ``renewed`` the last sampler's word.
    ``candidates`` are what was sent, or is about to be, in each round of votes.
    """

    plan: Plan
    schema: Schema | TablesSchema
    silos: tuple[str, ...]
    phase: PhaseName | None = None
    stage: Stage
    approved: frozenset[str] = frozenset()
    left: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[PhaseName, Question] = field(default_factory=dict)
    releases: Mapping[PhaseName, Mapping[str, Release]] = field(default_factory=dict)
    agreement: Agreement | None = None
    burned: tuple[Release, ...] = ()
    sampler_digest: str | None = None
    acknowledged: Mapping[str, str] = field(default_factory=dict)
    learning: Learning | None = None
    rounds: tuple[Release, ...] = ()
    values: Values | None = None
    renewed: Renewed = field(default_factory=Renewed)
    candidates: Mapping[PhaseName, tuple[str, ...]] = field(default_factory=dict)

    @property
    def coded(self) -> Schema:
        """Return the schema with the bins that the run counts by: its values', once known."""
        return self.table if self.values is None else self.values.schema

    @property
    def edges(self) -> dict[str, tuple[int, ...]] | None:
        """Return where the bins of numbers begin that are not the schema's; None of none."""
        return dict(self.values.edges) if self.values and self.values.edges else None

    @property
    def spreads(self) -> Mapping[str, Spread]:
        """Return how values lie inside the codes of numbers, once known."""
        return {} if self.values is None else self.values.spreads

    def looked(self, phase: PhaseName) -> tuple[tuple[str, Measurement], ...]:
        """Return the sums of a phase that looked at values, each with its level.

        They are over all silos that answered, as those that codes are merged by.
        """
        if phase not in self.asked or self.is_open(phase):
            return ()
        levels = (q.level for q in self.asked[phase].queries)
        return tuple(zip(levels, self._own_sum(phase, silos=None), strict=True))

    def measured(self, *, of: str | None = None) -> dict[PhaseName, tuple[Measurement, ...]]:
        """Return the sums of every complete phase, or what the silo ``of`` alone released.

        They are over the silos that still take part; a shared sum cannot be taken apart, so it is
        over those that took part in it.
        """
        over = None if self.plan.masked else self.silos if of is None else (of,)
        return {
            phase: self._sum(phase, silos=over)
            for phase, question in self.asked.items()
            if phase not in OF_VALUES and question.queries and not self.is_open(phase)
        }

    def known(self, *, generator: NeuralSampler | None = None) -> Known:
        """Return what the plan's method works with.

        Args: generator: one that was trained on this state before.
        """
        return Known(
            plan=self.plan,
            schema=self.coded,
            measured=self.measured(),
            merging=self.merging(),
            counted=self.releases.get(_COUNTS, {}),
            silos=self.silos,
            learning=self.learning,
            generator=generator,
            carried=self.renewed.carried,
            candidates=self.candidates,
        )

    def merging(self) -> tuple[Measurement, ...]:
        """Return the 1-way sums that codes are merged by; none before the first phase is complete.

        They are over all silos that answered them, so a silo that leaves later changes no merge,
        and what was asked of merged codes still fits the model's. Its rows count nowhere else. What
        a last sampler says is in them: codes that it kept apart stay apart.
        """
        complete = _COUNTS in self.asked and not self.is_open(_COUNTS)
        return self.renewed.columns(self._sum(_COUNTS, silos=None)) if complete else ()

    def _sum(self, phase: PhaseName, *, silos: tuple[str, ...] | None) -> tuple[Measurement, ...]:
        """Return the sums of a phase, all brought to the rows of ``silos``, or of all."""
        sums = self._own_sum(phase, silos=silos)
        if not self.plan.lacks:
            return sums
        apart = phase is not _COUNTS and _COUNTS in self.asked
        others = self._own_sum(_COUNTS, silos=silos) if apart else ()
        taking = self.releases[_COUNTS if apart else phase]
        wanted = taking.keys() if silos is None else frozenset(silos)
        over = tuple(s for s in taking if s in wanted)
        return to_all_rows(sums, others=others, plan=self.plan, silos=over)

    def _own_sum(
        self, phase: PhaseName, *, silos: tuple[str, ...] | None
    ) -> tuple[Measurement, ...]:
        """Return the sums of a phase over those of ``silos`` that hold each, or over all."""
        question, released = self.asked[phase], self.releases[phase]
        add = sum_masked if self.plan.masked else sum_releases
        wanted = released.keys() if silos is None else frozenset(silos)
        return add(
            [r for silo, r in released.items() if silo in wanted],
            queries=question.queries,
            levels=question.groupings,
            plan=self.plan,
            phase=self.plan.phase(phase),
        )

    def waiting(self, phase: PhaseName) -> tuple[str, ...]:
        """Return the silos that take part and have not answered ``phase``."""
        return tuple(s for s in self.silos if self.waits_for(s, phase=phase))

    def waits_for(self, silo: str, *, phase: PhaseName) -> bool:
        """Say whether a silo takes part, was asked something in ``phase`` and has not answered."""
        if silo in self.releases.get(phase, {}) or not self._takes_part(silo):
            return False
        question = self.asked.get(phase)
        of_all = question is None or question.of_all
        return of_all or (question is not None and question.asks(silo, plan=self.plan))

    def is_open(self, phase: PhaseName) -> bool:
        """Say whether ``phase`` waits for anybody; it is asked after each of a thousand answers."""
        everybody = not self.plan.lacks and phase in self.asked and not self.asked[phase].empty
        if everybody and len(self.releases.get(phase, {})) < len(self.silos):
            return True
        return any(self.waits_for(s, phase=phase) for s in self.silos)

    def waited_for(self) -> tuple[str, ...]:
        """Return the silos whose word the run waits for where it stands."""
        if self.stage is Stage.MEASURE:
            return self.waiting(self.phase) if self.phase else ()
        heard = self._heard()
        known = () if heard is None else set(heard)
        return () if heard is None else tuple(s for s in self.silos if s not in known)

    def awaits(self, silo: str) -> bool:
        """Say whether the run waits for a silo's word where it stands."""
        if self.stage is Stage.MEASURE:
            return self.phase is not None and self.waits_for(silo, phase=self.phase)
        heard = self._heard()
        return heard is not None and silo not in heard and self._takes_part(silo)

    def awaits_any(self) -> bool:
        """Say whether the run waits for any silo's word where it stands."""
        if self.stage is Stage.MEASURE:
            return self.phase is not None and self.is_open(self.phase)
        heard = self._heard()
        # Fewer were heard than take part, whoever they are: nobody need be looked for.
        return heard is not None and (len(heard) < len(self.silos) or bool(self.waited_for()))

    def _takes_part(self, silo: str) -> bool:
        """Say whether a silo is the plan's and has not left."""
        return silo in self.plan.silo_names and silo not in self.left

    def _heard(self) -> Collection[str] | None:
        """Return whose word came at this stage; None where none is waited for, or it is a phase."""
        match self.stage:
            case Stage.PROPOSE:
                return self.approved
            case Stage.AGREE if self.agreement is not None:
                keys = self.agreement.asked is SumStage.KEYS
                return self.agreement.adverts if keys else self.agreement.votes
            case Stage.DELIVER:
                return self.acknowledged
        return None

    def unacknowledged(self) -> dict[str, str]:
        """Return what the silos that did not accept the result have against it."""
        return {silo: fault for silo, fault in self.acknowledged.items() if fault}

    def answers(self) -> dict[str, tuple[Release, ...]]:
        """Return what each silo released, absent silos included."""
        return {
            silo: (
                *(r[silo] for r in self.releases.values() if silo in r),
                *(r for r in self.rounds if r.receipt.silo == silo),
                *(r for r in self.burned if r.receipt.silo == silo),
            )
            for silo in self.plan.silos
        }

    def receipts(self) -> dict[str, tuple[Receipt, ...]]:
        """Return what each silo said it released, absent silos included."""
        return {s: tuple(r.receipt for r in released) for s, released in self.answers().items()}
