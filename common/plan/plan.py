"""The declarative request of a run: what is asked of every silo, at which noise. Never code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from silosynth.common.accounting import GaussianCost, Noise
from silosynth.common.digest import Digest, canonical_json, digest_of
from silosynth.common.document import describe_validation, load_document
from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidPlan, InvalidSchema
from silosynth.common.generator import (
    CentralSettings,
    FeatureSettings,
    ProjectionSettings,
    VoteSettings,
)
from silosynth.common.plan.fields import Name, PlanModel, read_json
from silosynth.common.plan.held_out import EvaluationSettings, HeldOut
from silosynth.common.plan.methods import OF_METHODS, Chosen, Method, check_phases, choose
from silosynth.common.plan.phases import OF_VALUES, Phase, PhaseName, phase_cost, phase_noise
from silosynth.common.plan.series import Renewal, Series
from silosynth.common.plan.training import TrainingSettings
from silosynth.common.plan.trust import OF_SHARED, Trust, TrustMode, trust_of
from silosynth.common.plan.values import PlannedTree
from silosynth.common.trust import PublicKey

PLAN_VERSION = 1
Column = Annotated[str, Field(min_length=1, max_length=512)]
MOST_SESSIONS = 8


class OnAbsent(StrEnum):
    """What the run does when a silo stays away."""

    STOP = "stop"
    CONTINUE = "continue"


class Privacy(PlanModel):
    """The promise: (epsilon, delta) for one person's at most ``rows_per_person`` rows in a silo."""

    epsilon: float = Field(gt=0, le=100)
    delta: float = Field(gt=0, lt=1)
    rows_per_person: int = Field(default=1, ge=1, le=1_000_000)
    unit: str = Field(default="row", max_length=200, description="what a person's row stands for")


class Plan(PlanModel):
    """Everything that a silo must know to decide, fixed before anything is spent."""

    _ABSENT: ClassVar[frozenset[str]] = frozenset(
        {"training", "values", "lacks", "unlinked", "held_out", "evaluation"}
        | {"series", "renews", "projection", "central", "votes", "peers", "edition"}
    )

    version: Literal[1] = 1
    id: Name
    schema_name: str
    schema_digest: Digest
    silos: tuple[Name, ...] = Field(min_length=1, max_length=10_000)
    roster: Mapping[Name, PublicKey] = Field(
        default_factory=dict, max_length=10_000, description="each silo's key; empty in simulations"
    )
    dataset: Name = Field(default="default", description="the silos' name for their table")
    project: Name = Field(default="default", description="whose budget pays")
    privacy: Privacy
    trust: TrustMode = TrustMode.OWN
    colluders: int = Field(default=0, ge=0, le=998, description="silos that may collude")
    absent: int = Field(default=0, ge=0, le=998, description="silos that may be missing")
    attempts: int = Field(
        default=1, ge=1, le=MOST_SESSIONS, description="how often a sum may be begun"
    )
    sum_bits: Literal[32, 64] = Field(default=64, description="sums are taken modulo 2^bits")
    peers: int | None = Field(
        default=None, ge=2, le=1000, description="against how many others a silo masks; None: all"
    )
    method: Method
    workload: tuple[Clique, ...] = Field(default=(), max_length=100_000)
    features: FeatureSettings | None = Field(
        default=None, description="for the method one-shot: which random features are summed"
    )
    projection: ProjectionSettings | None = Field(
        default=None, description="for the method projection: onto how many dimensions"
    )
    central: CentralSettings | None = Field(default=None, description="for the method central")
    votes: VoteSettings | None = Field(
        default=None, description="for the method votes: which candidates may travel"
    )
    training: TrainingSettings | None = Field(
        default=None, description="for the method dp-sgd: which network is trained, and how"
    )
    weights: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(
        default=(), max_length=100_000, description="one a marginal of the workload; equal if none"
    )
    edition: Literal[2] | None = Field(
        default=None, description="for the method aim: by which rules it chooses; None: the first"
    )
    values: Mapping[str, PlannedTree] | None = Field(
        default=None, min_length=1, max_length=4096, description="trees over numbers' values"
    )
    lacks: Mapping[Name, tuple[Column, ...]] | None = Field(
        default=None,
        min_length=1,
        max_length=10_000,
        description="columns that a silo declares not to hold; it is asked nothing of them",
    )
    held_out: HeldOut | None = Field(
        default=None, description="persons whom the plan leaves alone, or alone asks: to evaluate"
    )
    evaluation: EvaluationSettings | None = Field(
        default=None, description="for the method evaluate: what is measured, about which sampler"
    )
    series: Series | None = Field(
        default=None, description="of a template that is approved once for a number of epochs"
    )
    renews: Renewal | None = Field(
        default=None,
        description="of fixed, independent: which sampler the rest is taken from",
    )
    unlinked: tuple[Column, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="of several tables, the links that nothing is asked about",
    )
    phases: tuple[Phase, ...] = Field(min_length=1, max_length=8)
    on_absent: OnAbsent = OnAbsent.STOP
    deadline_seconds: int = Field(default=600, ge=1, le=604_800)
    approval_seconds: int = Field(
        default=86_400, ge=1, le=31_536_000, description="how long silos may take to approve"
    )
    max_model_mb: int = Field(default=1024, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        twice = sorted(s for s, times in Counter(self.silos).items() if times > 1)
        if twice:
            raise ValueError(f"silo {twice[0]!r} stands twice in silos")
        if self.roster and set(self.roster) != set(self.silos):
            raise ValueError("roster: it must name exactly the silos")
        sizes = self.training.sizes if self.training else None
        before, phases = self._split_phases()
        check_phases(self.method, phases, spared=bool(sizes))
        self._check_trust()
        self._check_lacks()
        self._check_tables()
        self._check_held_out()
        self._check_series()
        self.chosen.check(phases, silos=self.silos, trust=self.sharing)
        self._check_values(before)
        return self

    def _split_phases(self) -> tuple[tuple[Phase, ...], tuple[Phase, ...]]:
        """Return the phases that look at values, and those of the method."""
        count = next((i for i, p in enumerate(self.phases) if p.name not in OF_VALUES), 0)
        return self.phases[:count], self.phases[count:]

    def _check_values(self, before: Sequence[Phase]) -> None:
        """Raise ValueError unless values are looked at where there are trees over them."""
        closer = any(tree.digits() for tree in (self.values or {}).values())
        wanted = OF_VALUES[: 1 + closer] if self.values else ()
        if tuple(p.name for p in before) != wanted:
            names = ", ".join(wanted) or "none"
            raise ValueError(f"phases: those before the method's must be {names}")
        if any(p.bound != 1 or p.rate is not None for p in before):
            raise ValueError("phases: values are counted, so their bound is 1")

    def _check_lacks(self) -> None:
        """Raise ValueError for columns that a silo lacks and a method cannot do without."""
        lacks = self.lacks or {}
        if strange := sorted(set(lacks) - set(self.silos)):
            raise ValueError(f"lacks: {strange[0]!r} is no silo of the plan")
        if any(not columns or len(set(columns)) < len(columns) for columns in lacks.values()):
            raise ValueError("lacks: name the columns of a silo once each, or leave it out")
        if lacks and self.chosen.whole_rows:
            raise ValueError("lacks: this method learns from whole rows; measure marginals")
        if lacks and self.chosen.evaluates:
            raise ValueError("lacks: a plan that evaluates asks whole rows")
        if any(p.held is not None for p in self.phases) and not (lacks and self.masked):
            raise ValueError("phases: held belongs to shared trust where silos lack columns")

    def _check_tables(self) -> None:
        """Raise ValueError where a plan for several tables says what only one table has."""
        if not self.chosen.several_tables:
            if self.unlinked is not None:
                raise ValueError("unlinked: one table has no links; leave it out")
            return
        if self.privacy.rows_per_person != 1:
            raise ValueError("privacy: a person is all rows below one, so rows_per_person is 1")
        if self.lacks or self.values or self.sum_bits != 64:
            raise ValueError("lacks, values, sum_bits: the method families has none of its own")
        if len(set(self.unlinked or ())) < len(self.unlinked or ()):
            raise ValueError("unlinked: a link stands twice")

    def _check_held_out(self) -> None:
        """Raise ValueError where a plan evaluates on people whom nobody held out, and the like."""
        chosen = self.chosen
        if chosen.evaluates and (self.held_out is None) != chosen.everybody:
            raise ValueError(
                "held_out: a plan that looks for drift asks everybody"
                if chosen.everybody
                else "held_out: a plan that evaluates says which share was held out"
            )
        if chosen.evaluates and (self.lacks or self.values):
            raise ValueError("lacks, values: a plan that evaluates has none")
        if self.held_out is not None and not chosen.holds_out:
            raise ValueError(f"held_out: the method {self.method.value} holds nobody out")

    def _check_series(self) -> None:
        """Raise ValueError for an epoch that goes by another name, and for what has no epochs."""
        if self.renews is not None and not self.chosen.takes_over:
            raise ValueError("renews: belongs to the methods fixed and independent")
        if self.series is None:
            return
        if self.id != self.series.plan_id:
            raise ValueError(f"id: in this series it is {self.series.plan_id}")
        chosen = self.chosen
        if chosen.evaluates and not chosen.everybody:
            raise ValueError("series: those who are held out are asked by plans of their own")
        if chosen.samples_persons or chosen.several_tables:
            raise ValueError(f"series: the method {self.method.value} has none")

    def holds(self, silo: str, clique: Clique) -> bool:
        """Say whether a silo holds every column of a clique."""
        return not set((self.lacks or {}).get(silo, ())).intersection(clique)

    def paid(self, cliques: Sequence[Clique], *, silo: str) -> int:
        """Return for how many of these marginals a silo pays: those that its rows can move.

        At least one: no answer is free.
        """
        lacking = set((self.lacks or {}).get(silo, ()))
        return max(sum(lacking.isdisjoint(clique) for clique in cliques), 1)

    def holders(self, clique: Clique, *, silos: Sequence[str]) -> tuple[str, ...]:
        """Return those of ``silos`` that hold every column of a clique."""
        return tuple(s for s in silos if self.holds(s, clique)) if self.lacks else tuple(silos)

    def _check_trust(self) -> None:
        """Raise ValueError unless colluders and absent silos fit the roster and the noise."""
        sharing = self.sharing
        if fault := sharing.fault(len(self.silos), peers=self.peers):
            raise ValueError(fault)
        if not sharing.masked:
            if self.sum_bits != 64:
                raise ValueError(OF_SHARED)
            return
        if (self.on_absent is OnAbsent.CONTINUE) != (self.absent > 0):
            raise ValueError("on_absent: 'continue' goes with absent above 0, 'stop' with 0")
        for phase in self.phases:
            if self.noise(phase).variance(silos=1) < 1:
                raise ValueError(f"phases: {phase.name.value}: each silo's noise would be below 1")

    @property
    def chosen(self) -> Chosen:
        """Return the method with what the plan says of it."""
        said = {name: getattr(self, name) for name in OF_METHODS}
        return choose(self.method, said)

    @property
    def sharing(self) -> Trust:
        """Return whose noise protects whom."""
        return trust_of(
            self.trust, colluders=self.colluders, absent=self.absent, attempts=self.attempts
        )

    @cached_property
    def silo_names(self) -> frozenset[str]:
        """Return the silos, for whoever looks for one among thousands."""
        return frozenset(self.silos)

    @property
    def masked(self) -> bool:
        """Say whether nobody sees a silo's own release, but the sum of masked ones."""
        return self.sharing.masked

    @property
    def shares(self) -> int:
        """Return how many silos' noise makes up a phase's: all that surely add honest noise."""
        return self.sharing.shares(len(self.silos))

    @cached_property
    def digest(self) -> str:
        """Return ``sha256:`` and the hash of the canonical bytes."""
        return digest_of(encode_plan(self))

    @property
    def template(self) -> Plan:
        """Return what is the same in every epoch of a series; a plan of none is its own."""
        if self.series is None or self.series.epoch is None:
            return self
        whole, asked = self.series.template, self.evaluation
        update = {"id": whole.plan_id, "series": whole}
        if asked is not None:  # about the newest sampler, whichever that is
            update |= {"evaluation": asked.of_any}
        return self.model_copy(update=update)

    @cached_property
    def decided(self) -> str:
        """Return the digest that people decide about: the template's, where there is a series."""
        return self.template.digest

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, whose digest is worked out anew."""
        copied = super().model_copy(update=update, deep=deep)
        for worked_out in ("digest", "silo_names", "decided"):
            copied.__dict__.pop(worked_out, None)
        return copied

    def noise(self, phase: Phase, *, length: int = 1) -> Noise:
        """Return the noise of a phase: a silo's own, or the shares of all.

        Args: length: T, where persons are weighed.
        """
        return phase_noise(phase, shares=self.shares, length=length)

    def phase_cost(self, phase: Phase) -> GaussianCost:
        """Return what a phase costs a silo if all that it allows is asked, as often as allowed."""
        return phase_cost(
            phase,
            rows_per_person=self.privacy.rows_per_person,
            shares=self.shares,
            attempts=self.attempts,
        )

    @property
    def rho(self) -> Fraction:
        """Return the zCDP cost of the whole plan to one silo (Bun and Steinke 2016, Prop. 1.6)."""
        return sum((self.phase_cost(p).rho for p in self.phases), Fraction(0))

    def requests(self, phase: Phase) -> int:
        """Return how often a phase may be charged to a silo: once a round, once a session."""
        training = self.training if phase.name is PhaseName.TRAINING else None
        return self.attempts * (training.rounds if training else 1)

    @property
    def weighing(self) -> Phase:
        """Return the phase that weighs persons; raise InvalidPlan when there is none."""
        for phase in self.phases:
            if phase.fineness is not None:
                return phase
        raise InvalidPlan(f"plan {self.id} weighs nobody")

    @property
    def closer_leaves(self) -> int:
        """Return how many leaves a closer look may name at most: each has two cells or more."""
        return sum(p.cells for p in self.phases if p.name is PhaseName.CLOSER) // 2

    def phase(self, name: str) -> Phase:
        """Return the phase called ``name``; raise InvalidPlan when there is none."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise InvalidPlan(f"plan {self.id} has no phase {str(name)!r}")


def encode_plan(plan: Plan) -> bytes:
    """Return the canonical JSON of a plan: what its digest and its signature cover."""
    return canonical_json(plan.model_dump(mode="json"))


def decode_plan(data: bytes, *, origin: str = "plan") -> Plan:
    """Parse the bytes of a plan; raise InvalidPlan on anything unknown."""
    return parse_plan(read_json(data, origin=origin), origin=origin)


def parse_plan(data: Any, *, origin: str = "plan") -> Plan:
    """Build a plan from plain data; raise InvalidPlan naming ``origin`` and the field."""
    if isinstance(data, Mapping) and data.get("version", PLAN_VERSION) != PLAN_VERSION:
        raise InvalidPlan(
            f"{origin}: version {data['version']!r} is not known", hint=f"use {PLAN_VERSION}"
        )
    try:
        return Plan.model_validate(data)
    except ValidationError as err:
        raise InvalidPlan(f"{origin}: {describe_validation(err, data)}") from err


def load_plan(path: Path) -> Plan:
    """Read a plan from YAML or JSON; raise InvalidPlan naming the file and the field."""
    try:
        data = load_document(path)
    except InvalidSchema as err:
        raise InvalidPlan(err.message, hint=err.hint) from err
    return parse_plan(data, origin=str(path))


def dump_plan(plan: Plan) -> str:
    """Return the plan as YAML."""
    return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
