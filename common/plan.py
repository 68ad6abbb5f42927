"""The declarative request of a run: what is asked of every silo, at which noise. Never code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from silosynth.common.attributes import TextAttribute
from silosynth.common.cost import GaussianCost
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import CapExceeded, InvalidPlan, InvalidSchema
from silosynth.common.example import layout_of, modelled_texts
from silosynth.common.features import FeatureSettings, feature_cells
from silosynth.common.measurement import MarginalQuery
from silosynth.common.roster import PublicKey
from silosynth.common.schema import Schema, describe_validation, load_document
from silosynth.common.sum_proof import MOST_MEMBERS, MOST_SESSIONS, SumProof
from silosynth.common.training import (
    BOUND,
    OF_GRADIENTS,
    OF_UPDATES,
    TrainingSettings,
    TrainingStep,
    digest_weights,
    frame_weights,
    unframe_weights,
)

PLAN_VERSION = 1
FINE = "fine"
_MOST_SPELLED = 10**18
_MOST_SUMMED = 2**18
"""Sums of gradients that may be added up: of 2^32 rows each, they stay below 2^62."""

_LEAST_GRADIENT_SIGMA2 = 2**10
_EXACT = re.compile(r"[0-9]{1,40}(/[0-9]{1,40}|\.[0-9]{1,20})?", re.ASCII)
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _fraction(value: Any) -> Fraction:
    """Read an exact positive number from ``"p/q"`` or an integer, never from a float."""
    if isinstance(value, bool | float):
        raise ValueError("write it as a fraction in quotes, such as '625/4'")
    # Fraction("1e999999999") would write out a number of a thousand million digits.
    if isinstance(value, str) and not _EXACT.fullmatch(value):
        raise ValueError("write it as a fraction in quotes, such as '625/4'")
    try:
        fraction = Fraction(value)
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError("write it as a fraction in quotes, such as '625/4'") from None
    if fraction <= 0:
        raise ValueError("must be above 0")
    if fraction.denominator.bit_length() > 64 or fraction.numerator.bit_length() > 128:
        raise ValueError("has too many digits")
    return fraction


Exact = Annotated[Fraction, BeforeValidator(_fraction), PlainSerializer(str, return_type=str)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
    )
    _ABSENT: ClassVar[frozenset[str]] = frozenset()
    """Fields that are not written where they are None, so that older digests stay what they are."""

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return {k: v for k, v in data.items() if v is not None or k not in self._ABSENT}


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


class Privacy(_Model):
    """The promise: (epsilon, delta) for one person's at most ``rows_per_person`` rows in a silo."""

    epsilon: float = Field(gt=0, le=100)
    delta: float = Field(gt=0, lt=1)
    rows_per_person: int = Field(default=1, ge=1, le=1_000_000)
    unit: str = Field(default="row", max_length=200, description="what a person's row stands for")


class Phase(_Model):
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
        return self


class Plan(_Model):
    """Everything that a silo must know to decide, fixed before anything is spent."""

    _ABSENT: ClassVar[frozenset[str]] = frozenset({"training"})

    version: Literal[1] = 1
    id: Name
    schema_name: str
    schema_digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
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
        return "sha256:" + hashlib.sha256(encode_plan(self)).hexdigest()

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


class Request(_Model):
    """The marginals that one phase asks of one silo, or one round of training.

    The weights that a round starts from travel behind the request's JSON, which has their digest.
    """

    _ABSENT: ClassVar[frozenset[str]] = frozenset({"training"})
    _weights: bytes | None = PrivateAttr(default=None)

    version: Literal[1] = 1
    plan_digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    phase: PhaseName
    silo: Name
    levels: Mapping[str, Mapping[str, tuple[int, ...]]] = Field(default_factory=dict, max_length=8)
    queries: tuple[tuple[Clique, str], ...] = Field(default=(), max_length=100_000)
    training: TrainingStep | None = None
    sum: SumProof | None = Field(default=None, description="in shared trust, and only there")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        trains = self.phase is PhaseName.TRAINING
        if (self.training is not None, bool(self.queries)) != (trains, not trains):
            raise ValueError("a request asks for marginals, or in the phase training for a round")
        if trains and self.levels:
            raise ValueError("levels: a round of training has none")
        return self

    @property
    def weights(self) -> bytes | None:
        """Return the weights of a round, (parameters,) little-endian float32."""
        return self._weights

    def with_weights(self, weights: bytes) -> Request:
        """Return the request with the weights that its round starts from.

        Raises InvalidPlan when they are not those whose digest it states.
        """
        if self.training is None or digest_weights(weights) != self.training.weights:
            raise InvalidPlan("the weights are not those that the request names")
        carrying = self.model_copy()
        carrying._weights = weights
        return carrying

    @property
    def id(self) -> str:
        """Return the name of this request: one for each plan, phase, silo, and session of sums."""
        session = self.sum.session if self.sum else None
        number = self.training.round if self.training else None
        return request_id(
            self.plan_digest, phase=self.phase, silo=self.silo, session=session, number=number
        )

    @property
    def key_id(self) -> str:
        """Return the name of the key that masks this request: rounds of training share one."""
        session = self.sum.session if self.sum else None
        return request_id(self.plan_digest, phase=self.phase, silo=self.silo, session=session)

    @property
    def asked_of_all(self) -> str:
        """Return ``sha256:`` and the hash of what the request has in common with other silos'."""
        common = self.model_dump(mode="json", exclude={"silo", "sum"})
        return "sha256:" + hashlib.sha256(_canonical(common)).hexdigest()

    @property
    def digest(self) -> str:
        """Return ``sha256:`` and the hash of the canonical bytes."""
        body = _canonical(self.model_dump(mode="json"))
        return "sha256:" + hashlib.sha256(body).hexdigest()

    def groupings(self) -> dict[str, Grouping]:
        """Return the levels as groupings; ``fine`` merges nothing."""
        return {FINE: Grouping()} | {n: Grouping(groups=dict(g)) for n, g in self.levels.items()}

    def marginals(self) -> tuple[MarginalQuery, ...]:
        """Return the queries as values."""
        return tuple(MarginalQuery(clique=c, level=level) for c, level in self.queries)


def request_id(
    plan_digest: str,
    *,
    phase: PhaseName,
    silo: str,
    session: int | None,
    number: int | None = None,
) -> str:
    """Return the name of a request; ``number`` is its round of training, from 0."""
    step = phase.value if number is None else f"{phase.value}-{number}"
    step = step if session is None else f"{step}.{session}"
    return f"{plan_digest.removeprefix('sha256:')[:32]}/{step}/{silo}"


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


def count_cells(request: Request, *, plan: Plan, domain: Domain) -> tuple[int, ...]:
    """Check a request against its plan and return the cells of each marginal.

    Cells are Python integers computed before anything is allocated. Raises InvalidPlan when the
    request is not the plan's, CapExceeded when it asks for more than the plan's phase holds.
    """
    if request.plan_digest != plan.digest:
        raise InvalidPlan("the request belongs to another plan")
    if request.silo not in plan.silos:
        raise InvalidPlan(f"silo {request.silo!r} is not in plan {plan.id}")
    if (request.sum is not None) != (plan.trust is TrustMode.SHARED):
        raise InvalidPlan(f"plan {plan.id} has {plan.trust.value} noise; the request has not")
    if request.sum is not None and request.sum.session > plan.attempts:
        raise CapExceeded(
            f"session {request.sum.session} was asked for; the plan allows {plan.attempts}"
        )
    phase = plan.phase(request.phase)
    if request.training is not None:
        return _training_cells(request.training, plan=plan, phase=phase)
    if FINE in request.levels:
        raise InvalidPlan("the level 'fine' is reserved for codes as the schema has them")
    if len(request.queries) > phase.marginals:
        raise CapExceeded(
            f"phase {phase.name.value} asks for {len(request.queries)} marginals; "
            f"the plan allows {phase.marginals}"
        )
    if len(set(request.queries)) != len(request.queries):
        raise InvalidPlan(f"phase {phase.name.value} asks for a marginal twice")
    domains = {name: g.domain(domain) for name, g in request.groupings().items()}
    embeds = plan.features if phase.name is PhaseName.EMBEDDING else None
    cells = tuple(_cells(domains, clique, level, embeds) for clique, level in request.queries)
    if sum(cells) > phase.cells:
        raise CapExceeded(
            f"phase {phase.name.value} asks for {_number(sum(cells))} cells; "
            f"the plan allows {phase.cells}"
        )
    _check_cliques(request, phase=phase.name, plan=plan, domain=domain)
    return cells


def _training_cells(step: TrainingStep, *, plan: Plan, phase: Phase) -> tuple[int, ...]:
    """Return the cells of a round: one for each weight; raise CapExceeded beyond the last round."""
    if plan.training is None or step.round >= plan.training.rounds:
        raise CapExceeded(f"round {step.round} was asked for; the plan of {plan.id} ends before")
    if (step.batch is None) != (plan.trust is TrustMode.SHARED):
        raise InvalidPlan("a round has a batch with own noise, and none with shared noise")
    return (phase.cells,)


def _check_cliques(request: Request, *, phase: PhaseName, plan: Plan, domain: Domain) -> None:
    """Raise InvalidPlan for a clique that its phase does not ask: who approves goes by the name."""
    listed = {domain.attributes} if phase is PhaseName.EMBEDDING else set(plan.workload)
    by_name = phase in (PhaseName.WORKLOAD, PhaseName.EMBEDDING)
    arity = 1 if phase is PhaseName.ONE_WAY else 2
    for clique, _ in request.queries:
        if clique not in listed if by_name else len(clique) != arity:
            raise InvalidPlan(
                f"phase {phase.value} asks for a marginal of {len(clique)} attributes that the "
                "plan does not hold"
            )


def _number(cells: int) -> str:
    """Spell a number of cells, which may have thousands of digits."""
    return str(cells) if cells <= _MOST_SPELLED else "more than 10^18"


def _cells(
    domains: Mapping[str, Domain], clique: Clique, level: str, embeds: FeatureSettings | None
) -> int:
    """Return the cells of one marginal, or of one sum of features, at its level."""
    if level not in domains:
        raise InvalidPlan(f"unknown level {level!r}")
    if not clique:
        raise InvalidPlan("a marginal needs at least one attribute")
    if embeds is not None:
        return feature_cells(embeds, clique=clique, domain=domains[level])
    return domains[level].size(clique)


def encode_plan(plan: Plan) -> bytes:
    """Return the canonical JSON of a plan: what its digest and its signature cover."""
    return _canonical(plan.model_dump(mode="json"))


def encode_request(request: Request) -> bytes:
    """Return the canonical JSON of a request, which its hash covers, and its weights if any."""
    header = _canonical(request.model_dump(mode="json"))
    return header if request.weights is None else frame_weights(header, request.weights)


def decode_plan(data: bytes, *, origin: str = "plan") -> Plan:
    """Parse the bytes of a plan; raise InvalidPlan on anything unknown."""
    return parse_plan(_load_json(data, origin=origin), origin=origin)


def decode_request(data: bytes) -> Request:
    """Parse the bytes of a request; raise InvalidPlan on anything unknown, or other weights."""
    header, weights = unframe_weights(data)
    value = _load_json(header, origin="request")
    try:
        request = Request.model_validate(value)
    except ValidationError as err:
        raise InvalidPlan(f"request: {describe_validation(err, value)}") from err
    return request if weights is None else request.with_weights(weights)


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


def check_plan(plan: Plan, schema: Schema) -> None:
    """Raise InvalidPlan unless ``plan`` was made for ``schema`` and may be run on it."""
    if plan.schema_digest != schema.digest:
        raise InvalidPlan(
            f"plan {plan.id} was made for another version of schema {plan.schema_name!r}",
            hint="make the plan again with 'silosynth plan new'",
        )
    unreviewed = schema.unreviewed()
    if unreviewed:
        raise InvalidPlan(
            f"schema {schema.name!r}: {len(unreviewed)} attributes are unreviewed, "
            f"{unreviewed[0]!r} first",
            hint="check each domain, then set its source to 'declared' or 'public'",
        )
    check_texts(schema, method=plan.method, workload=plan.workload)
    for clique in plan.workload:
        schema.domain.size(clique)
    if plan.training is not None:
        _check_network(plan, schema)


def check_texts(schema: Schema, *, method: Method, workload: Sequence[Clique] = ()) -> None:
    """Raise InvalidPlan where marginals are asked of a text, or a text would be lost."""
    texts = {a.name for a in schema.attributes if isinstance(a, TextAttribute)}
    asked = sorted(texts & {name for clique in workload for name in clique})
    learnt = tuple(modelled_texts(schema))
    if not asked and (not learnt or method is Method.DP_SGD):
        return
    raise InvalidPlan(
        f"{(*asked, *learnt)[0]!r} is free text, which marginals cannot carry",
        hint="use the method dp-sgd, or take its max_bytes out of the schema and leave it out",
    )


def _check_network(plan: Plan, schema: Schema) -> None:
    """Raise InvalidPlan or CapExceeded unless the plan counts its network's weights right."""
    assert plan.training is not None
    exact = plan.training.architecture.parameters(layout_of(schema))
    stated = plan.phase(PhaseName.TRAINING).cells
    if exact != stated:
        raise InvalidPlan(
            f"plan {plan.id}: the network has {exact} weights, the phase training states {stated}",
            hint="make the plan again with 'silosynth plan new'",
        )


def _canonical(data: Any) -> bytes:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _load_json(data: bytes, *, origin: str) -> Any:
    """Parse JSON; raise InvalidPlan when it is not JSON or too deep."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise InvalidPlan(f"{origin}: is not JSON") from err
