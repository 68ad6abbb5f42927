"""The declarative request of a run: what is asked of every silo, at which noise. Never code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import CapExceeded, InvalidPlan, InvalidSchema
from silosynth.common.features import FeatureSettings, feature_cells
from silosynth.common.measurement import MarginalQuery
from silosynth.common.roster import PublicKey
from silosynth.common.schema import Schema, describe_validation, load_document

PLAN_VERSION = 1
FINE = "fine"
_MOST_SPELLED = 10**18
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


class TrustMode(StrEnum):
    """Who may see what: each silo's own noised release, or the sum alone."""

    OWN = "own"


class Method(StrEnum):
    """How the coordinator chooses what to measure."""

    INDEPENDENT = "independent"
    MST = "mst"
    FIXED = "fixed"
    ONE_SHOT = "one-shot"


class OnAbsent(StrEnum):
    """What the run does when a silo stays away."""

    STOP = "stop"
    CONTINUE = "continue"


class PhaseName(StrEnum):
    """The steps of a run, in the order in which they happen."""

    ONE_WAY = "one-way"
    COARSE = "coarse"
    TREE = "tree"
    WORKLOAD = "workload"
    EMBEDDING = "embedding"


class Privacy(_Model):
    """The promise: (epsilon, delta) for one person's at most ``rows_per_person`` rows in a silo."""

    epsilon: float = Field(gt=0, le=100)
    delta: float = Field(gt=0, lt=1)
    rows_per_person: int = Field(default=1, ge=1, le=1_000_000)
    unit: str = Field(default="row", max_length=200, description="what a person's row stands for")


class Phase(_Model):
    """One message to each silo: at most ``marginals`` noised marginals, each with ``sigma2``.

    ``bound`` is the L2 norm that one row adds to each of them at most: 1 for counts. The phase
    ``embedding`` asks for one sum of random features, which is no marginal but sums like one.
    """

    name: PhaseName
    marginals: int = Field(ge=1, le=100_000)
    cells: int = Field(ge=1, le=2**40, description="most cells in all marginals of the phase")
    sigma2: Exact
    bound: int = Field(default=1, ge=1, le=2**31)


class Plan(_Model):
    """Everything that a silo must know to decide, fixed before anything is spent."""

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
    method: Method
    workload: tuple[Clique, ...] = Field(default=(), max_length=100_000)
    features: FeatureSettings | None = Field(
        default=None, description="for the method one-shot: which random features are summed"
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
        names = [p.name for p in self.phases]
        if tuple(names) != PHASES[self.method]:
            wanted = ", ".join(PHASES[self.method])
            raise ValueError(f"phases: method {self.method.value} has the phases {wanted}")
        if (self.method is Method.FIXED) != bool(self.workload):
            raise ValueError("workload: the method fixed needs one, and no other method has one")
        self._check_features()
        return self

    def _check_features(self) -> None:
        """Raise ValueError unless every phase states the norm that a row can add to it."""
        if (self.method is Method.ONE_SHOT) != (self.features is not None):
            raise ValueError("features: the method one-shot needs them, and no other has them")
        for phase in self.phases:
            embeds = phase.name is PhaseName.EMBEDDING
            bound = self.features.bound if embeds and self.features else 1
            if phase.bound != bound or (embeds and phase.marginals != 1):
                raise ValueError(f"phases: {phase.name.value} must have bound {bound}")

    @property
    def digest(self) -> str:
        """Return ``sha256:`` and the hash of the canonical bytes."""
        return "sha256:" + hashlib.sha256(encode_plan(self)).hexdigest()

    @property
    def rho(self) -> Fraction:
        """Return the zCDP cost of the whole plan to one silo (Bun and Steinke 2016, Prop. 1.6)."""
        return sum((phase_rho(p, self.privacy.rows_per_person) for p in self.phases), Fraction(0))

    def phase(self, name: str) -> Phase:
        """Return the phase called ``name``; raise InvalidPlan when there is none."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise InvalidPlan(f"plan {self.id} has no phase {name!r}")


PHASES: Mapping[Method, tuple[PhaseName, ...]] = {
    Method.INDEPENDENT: (PhaseName.ONE_WAY,),
    Method.MST: (PhaseName.ONE_WAY, PhaseName.COARSE, PhaseName.TREE),
    Method.FIXED: (PhaseName.ONE_WAY, PhaseName.WORKLOAD),
    Method.ONE_SHOT: (PhaseName.ONE_WAY, PhaseName.EMBEDDING),
}


class Request(_Model):
    """The marginals that one phase asks of one silo."""

    version: Literal[1] = 1
    plan_digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    phase: PhaseName
    silo: Name
    levels: Mapping[str, Mapping[str, tuple[int, ...]]] = Field(default_factory=dict, max_length=8)
    queries: tuple[tuple[Clique, str], ...] = Field(min_length=1, max_length=100_000)

    @property
    def id(self) -> str:
        """Return the name of this request: one for each plan, phase and silo."""
        return f"{self.plan_digest.removeprefix('sha256:')[:32]}/{self.phase.value}/{self.silo}"

    @property
    def digest(self) -> str:
        """Return ``sha256:`` and the hash of the canonical bytes."""
        return "sha256:" + hashlib.sha256(encode_request(self)).hexdigest()

    def groupings(self) -> dict[str, Grouping]:
        """Return the levels as groupings; ``fine`` merges nothing."""
        return {FINE: Grouping()} | {n: Grouping(groups=dict(g)) for n, g in self.levels.items()}

    def marginals(self) -> tuple[MarginalQuery, ...]:
        """Return the queries as values."""
        return tuple(MarginalQuery(clique=c, level=level) for c, level in self.queries)


def phase_rho(phase: Phase, rows_per_person: int) -> Fraction:
    """Return the zCDP cost of one phase: marginals x (c x bound)² / (2 sigma2)."""
    return Fraction(phase.marginals * (rows_per_person * phase.bound) ** 2) / (2 * phase.sigma2)


def count_cells(request: Request, *, plan: Plan, domain: Domain) -> tuple[int, ...]:
    """Check a request against its plan and return the cells of each marginal.

    Cells are Python integers computed before anything is allocated. Raises InvalidPlan when the
    request is not the plan's, CapExceeded when it asks for more than the plan's phase holds.
    """
    if request.plan_digest != plan.digest:
        raise InvalidPlan("the request belongs to another plan")
    if request.silo not in plan.silos:
        raise InvalidPlan(f"silo {request.silo!r} is not in plan {plan.id}")
    phase = plan.phase(request.phase)
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
    return cells


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
    """Return the canonical JSON of a request: what its hash covers."""
    return _canonical(request.model_dump(mode="json"))


def decode_plan(data: bytes, *, origin: str = "plan") -> Plan:
    """Parse the bytes of a plan; raise InvalidPlan on anything unknown."""
    return parse_plan(_load_json(data, origin=origin), origin=origin)


def decode_request(data: bytes) -> Request:
    """Parse the bytes of a request; raise InvalidPlan on anything unknown."""
    value = _load_json(data, origin="request")
    try:
        return Request.model_validate(value)
    except ValidationError as err:
        raise InvalidPlan(f"request: {describe_validation(err, value)}") from err


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
    for clique in plan.workload:
        schema.domain.size(clique)


def _canonical(data: Any) -> bytes:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _load_json(data: bytes, *, origin: str) -> Any:
    """Parse JSON; raise InvalidPlan when it is not JSON or too deep."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise InvalidPlan(f"{origin}: is not JSON") from err
