"""The declarative request of a run: what is asked of every silo, at which noise. Never code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from silosynth.common.accounting.cost import GaussianCost
from silosynth.common.digest import Digest, canonical_json, digest_of
from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidPlan, InvalidSchema
from silosynth.common.generator.features import FeatureSettings
from silosynth.common.plan.fields import Exact, Name, PlanModel, read_json
from silosynth.common.plan.training import BOUND, OF_GRADIENTS, OF_UPDATES, TrainingSettings
from silosynth.common.schema.schema import describe_validation, load_document
from silosynth.common.trust.keys import PublicKey

PLAN_VERSION = 1
MOST_MEMBERS = 100
MOST_SESSIONS = 8
_MOST_SUMMED = 2**18
"""Sums of gradients that may be added up: of 2^32 rows each, they stay below 2^62."""

_LEAST_GRADIENT_SIGMA2 = 2**10
_LARGEST_PART = 1 - Fraction(1, 2**20)


class TrustMode(StrEnum):
    """Who may see what: each silo's own noised release, or the sum alone."""

    OWN = "own"
    SHARED = "shared"


class Method(StrEnum):
    """How the coordinator chooses what to measure."""

    INDEPENDENT = "independent"
    MST = "mst"
    AIM = "aim"
    FIXED = "fixed"
    ONE_SHOT = "one-shot"
    DP_SGD = "dp-sgd"


class OnAbsent(StrEnum):
    """What the run does when a silo stays away."""

    STOP = "stop"
    CONTINUE = "continue"


class PhaseName(StrEnum):
    """The steps of a run, in the order in which they happen."""

    ONE_WAY = "one-way"
    COARSE = "coarse"
    TREE = "tree"
    ROUND_1 = "round-1"
    ROUND_2 = "round-2"
    ROUND_3 = "round-3"
    WORKLOAD = "workload"
    EMBEDDING = "embedding"
    TRAINING = "training"


class Privacy(PlanModel):
    """The promise: (epsilon, delta) for one person's at most ``rows_per_person`` rows in a silo."""

    epsilon: float = Field(gt=0, le=100)
    delta: float = Field(gt=0, lt=1)
    rows_per_person: int = Field(default=1, ge=1, le=1_000_000)
    unit: str = Field(default="row", max_length=200, description="what a person's row stands for")


class Phase(PlanModel):
    """One message to each silo: at most ``marginals`` noised marginals, each with ``sigma2``.

    ``bound`` is the L2 norm that one row adds to each of them at most: 1 for counts. The phase
    ``embedding`` asks for one sum of random features, which is no marginal but sums like one. The
    phase ``training`` asks for ``marginals`` noised sums of gradients in all its requests together,
    each over every person with the chance ``rate``.
    """

    _ABSENT: ClassVar[frozenset[str]] = frozenset({"rate"})

    name: PhaseName
    marginals: int = Field(ge=1, le=100_000)
    cells: int = Field(ge=1, le=2**40, description="most cells in all marginals of the phase")
    sigma2: Exact
    bound: int = Field(default=1, ge=1, le=2**31)
    rate: Exact | None = None

    @model_validator(mode="after")
    def _chance(self) -> Self:
        if self.rate is not None and self.rate > 1:
            raise ValueError("rate: is a chance, at most 1")
        if self.rate is not None and _LARGEST_PART < self.rate < 1:
            raise ValueError("rate: is too near to 1 for its accountant; write 1")
        return self


class Plan(PlanModel):
    """Everything that a silo must know to decide, fixed before anything is spent."""

    _ABSENT: ClassVar[frozenset[str]] = frozenset({"training"})

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
    colluders: int = Field(default=0, ge=0, le=98, description="silos that may collude")
    absent: int = Field(default=0, ge=0, le=98, description="silos that may be missing")
    attempts: int = Field(
        default=1, ge=1, le=MOST_SESSIONS, description="how often a sum may be begun"
    )
    sum_bits: Literal[32, 64] = Field(default=64, description="sums are taken modulo 2^bits")
    method: Method
    workload: tuple[Clique, ...] = Field(default=(), max_length=100_000)
    features: FeatureSettings | None = Field(
        default=None, description="for the method one-shot: which random features are summed"
    )
    training: TrainingSettings | None = Field(
        default=None, description="for the method dp-sgd: which network is trained, and how"
    )
    weights: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(
        default=(), max_length=100_000, description="one a marginal of the workload; equal if none"
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
        twice = sorted({s for s in self.silos if self.silos.count(s) > 1})
        if twice:
            raise ValueError(f"silo {twice[0]!r} stands twice in silos")
        if self.roster and set(self.roster) != set(self.silos):
            raise ValueError("roster: it must name exactly the silos")
        self._check_phases()
        self._check_trust()
        self._check_workload()
        self._check_features()
        self._check_training()
        return self

    def _check_phases(self) -> None:
        """Raise ValueError unless the phases are the method's; AIM may have fewer rounds."""
        names, known = tuple(p.name for p in self.phases), PHASES[self.method]
        fewest = FEWEST_AIM_PHASES if self.method is Method.AIM else len(known)
        if self.training is not None and self.training.sizes and len(names) == 1:
            known, fewest = (PhaseName.TRAINING,), 1
        if names != known[: len(names)] or len(names) < fewest:
            wanted = ", ".join(known)
            raise ValueError(f"phases: method {self.method.value} has the phases {wanted}")

    def _check_workload(self) -> None:
        """Raise ValueError unless the workload and its weights go with the method."""
        if self.method is Method.FIXED and not self.workload:
            raise ValueError("workload: the method fixed needs one")
        if self.workload and self.method not in (Method.FIXED, Method.AIM):
            raise ValueError("workload: only the methods aim and fixed have one")
        if self.weights and self.method is not Method.AIM:
            raise ValueError("weights: only the method aim weighs its workload")
        if self.weights and len(self.weights) != len(self.workload):
            raise ValueError("weights: give one for each marginal of the workload")

    def _check_features(self) -> None:
        """Raise ValueError unless every phase states the norm that a row can add to it."""
        if (self.method is Method.ONE_SHOT) != (self.features is not None):
            raise ValueError("features: the method one-shot needs them, and no other has them")
        for phase in self.phases:
            embeds = phase.name is PhaseName.EMBEDDING
            bound = self.features.bound if embeds and self.features else 1
            if phase.name is PhaseName.TRAINING:
                continue
            if phase.bound != bound or (embeds and phase.marginals != 1):
                raise ValueError(f"phases: {phase.name.value} must have bound {bound}")

    def _check_training(self) -> None:
        """Raise ValueError unless the phase of training says what its settings say."""
        if (self.method is Method.DP_SGD) != (self.training is not None):
            raise ValueError("training: the method dp-sgd needs it, and no other has it")
        for phase in self.phases:
            if (phase.rate is not None) != (phase.name is PhaseName.TRAINING):
                raise ValueError("phases: the phase training has a rate, and no other")
        if self.training is None:
            return
        how, phase = self.training, self.phases[-1]
        if (phase.bound, phase.marginals) != (BOUND, how.steps):
            raise ValueError(f"phases: training must have bound {BOUND} and rounds x local_steps")
        known = OF_GRADIENTS if self.trust is TrustMode.SHARED else OF_UPDATES
        if how.optimiser not in known:
            names = ", ".join(known)
            raise ValueError(f"training: with {self.trust.value} noise, optimiser is {names}")
        if how.sizes and set(how.sizes) != set(self.silos):
            raise ValueError("training: sizes must name exactly the silos")
        if how.local_steps * len(self.silos) > _MOST_SUMMED:
            raise ValueError("training: too many local_steps for so many silos")
        if phase.sigma2 < _LEAST_GRADIENT_SIGMA2 * self.shares:
            raise ValueError("phases: the noise of training is too small")

    def _check_trust(self) -> None:
        """Raise ValueError unless colluders and absent silos fit the roster and the noise."""
        if self.trust is TrustMode.OWN:
            if (self.colluders, self.absent, self.attempts, self.sum_bits) != (0, 0, 1, 64):
                raise ValueError("colluders, absent, attempts, sum_bits: belong to shared trust")
            return
        if not 2 <= len(self.silos) <= MOST_MEMBERS:
            raise ValueError(f"silos: shared noise needs 2 to {MOST_MEMBERS}")
        if self.shares < 2:
            raise ValueError("silos: without colluders and absent ones, two must be left")
        if (self.on_absent is OnAbsent.CONTINUE) != (self.absent > 0):
            raise ValueError("on_absent: 'continue' goes with absent above 0, 'stop' with 0")
        for phase in self.phases:
            if phase.sigma2 < self.shares:
                raise ValueError(f"phases: {phase.name.value}: each silo's noise would be below 1")

    @property
    def shares(self) -> int:
        """Return how many silos' noise makes up sigma2: all that are sure to add honest noise."""
        if self.trust is TrustMode.OWN:
            return 1
        return len(self.silos) - self.colluders - self.absent

    @property
    def digest(self) -> str:
        """Return ``sha256:`` and the hash of the canonical bytes."""
        return digest_of(encode_plan(self))

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

    def phase(self, name: str) -> Phase:
        """Return the phase called ``name``; raise InvalidPlan when there is none."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise InvalidPlan(f"plan {self.id} has no phase {name!r}")


PHASES: Mapping[Method, tuple[PhaseName, ...]] = {
    Method.INDEPENDENT: (PhaseName.ONE_WAY,),
    Method.MST: (PhaseName.ONE_WAY, PhaseName.COARSE, PhaseName.TREE),
    Method.AIM: (
        PhaseName.ONE_WAY,
        PhaseName.COARSE,
        PhaseName.ROUND_1,
        PhaseName.ROUND_2,
        PhaseName.ROUND_3,
    ),
    Method.FIXED: (PhaseName.ONE_WAY, PhaseName.WORKLOAD),
    Method.ONE_SHOT: (PhaseName.ONE_WAY, PhaseName.EMBEDDING),
    Method.DP_SGD: (PhaseName.ONE_WAY, PhaseName.TRAINING),
}
FEWEST_AIM_PHASES = 3
ROUNDS = (PhaseName.ROUND_1, PhaseName.ROUND_2, PhaseName.ROUND_3)


def phase_cost(
    phase: Phase, *, rows_per_person: int, shares: int = 1, attempts: int = 1
) -> GaussianCost:
    """Return the noise of one phase as a mechanism for the accountant."""
    return GaussianCost(
        sigma2=phase.sigma2,
        count=phase.marginals * attempts,
        sensitivity=rows_per_person * phase.bound,
        cells=phase.cells if phase.bound > 1 else None,
        shares=shares,
        rate=phase.rate or Fraction(1),
    )


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
