"""The policy of a silo: a TOML file that its operator writes and its security officer reads.

It is validated as data: unknown fields are refused, and every limit has a default that is the
strictest sensible one. Paths are relative to the file.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from silosynth.client.policy.approvers import Approvers
from silosynth.client.policy.limits import Policy
from silosynth.client.policy.rules import Approval, Rules
from silosynth.client.source.spec import SourceFormat, SourceSpec
from silosynth.common.accounting.orders import ORDERS
from silosynth.common.accounting.zcdp import budget_order
from silosynth.common.audit.entries import Cap, Scope, ScopeKind
from silosynth.common.digest import DIGEST_PATTERN
from silosynth.common.document import describe_validation
from silosynth.common.errors import InvalidArgument, InvalidPlan, InvalidPolicy
from silosynth.common.plan.fields import Name
from silosynth.common.plan.plan import Method
from silosynth.common.schema.schema import CsvDialect
from silosynth.common.trust.keys import PublicKey


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


def _path(text: str) -> str:
    """Refuse a path that no file can have."""
    if "\0" in text or not text.strip():
        raise ValueError("is not a path")
    return text


FilePath = Annotated[str, Field(max_length=4096), AfterValidator(_path)]
UserName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}\$?$")]


class Budget(_Model):
    """The most that may ever be spent: epsilon at a stated delta.

    ``order`` is the Rényi order that it is held at; by default the one that suits marginals best.
    """

    epsilon: float = Field(gt=0, le=1000)
    delta: float = Field(gt=0, lt=1)
    order: float | None = Field(default=None, gt=1, le=ORDERS[-1])

    @property
    def cap(self) -> Cap:
        """Return the budget in the ledger's units of 2^-40 of zCDP rho, rounded down."""
        order = None if self.order is None else Fraction(self.order)
        units, held = budget_order(epsilon=self.epsilon, delta=self.delta, order=order)
        return Cap(units=units, order=held)


class SiloSection(_Model):
    """Who this silo is, and where it keeps what only it may read."""

    name: Name
    key: FilePath = Field(description="the Ed25519 key that signs what leaves (PEM, mode 0600)")
    persons_secret: FilePath = Field(
        description="32 random bytes that choose which rows of a person are kept (mode 0600)"
    )
    directory: FilePath = Field(description="ledger, approved plans, results, sockets")
    run_as: UserName | None = Field(
        default=None, description="the user to become when started as root"
    )


class DatasetSection(_Model):
    """A table, what is public about it, and what it may ever cost."""

    name: Name
    format: Annotated[SourceFormat, Field(strict=False)]
    path: FilePath | None = None
    uri: str | None = Field(default=None, max_length=4096)
    query: str | None = Field(default=None, max_length=100_000)
    push_down: bool = False
    cluster: str | None = Field(
        default=None,
        max_length=261,
        description="a Ray cluster of the silo's own that counts a folder of Parquet files",
    )
    schema_path: FilePath = Field(alias="schema")
    schema_digest: str = Field(pattern=DIGEST_PATTERN)
    map_path: FilePath | None = Field(
        default=None, alias="map", description="how the table is brought to the schema"
    )
    rows_per_person: int = Field(default=1, ge=1, le=1_000_000)
    person_column: str | None = Field(default=None, min_length=1, max_length=512)
    csv: CsvDialect | None = Field(
        default=None, description="how the text file is written, where not as the schema says"
    )
    budget: Budget

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            self.source()
        except InvalidArgument as err:
            raise ValueError(err.message) from None
        return self

    def source(self) -> SourceSpec:
        """Return where the rows are."""
        return SourceSpec(
            format=self.format,
            path=None if self.path is None else Path(self.path),
            uri=self.uri,
            query=self.query,
            push_down=self.push_down,
            cluster=self.cluster,
            person_column=self.person_column,
            allow_extra=True,
            csv=self.csv,
        )


class CoordinatorSection(_Model):
    """A coordinator whose plans are read at all, and what it may ever spend."""

    name: Name
    key: PublicKey
    budget: Budget


class ProjectSection(_Model):
    """A project: its budget, and the keys of the silos that take part, this one included."""

    name: Name
    budget: Budget
    roster: dict[Name, PublicKey] = Field(min_length=1, max_length=10_000)


class CheckpointSection(_Model):
    """A pretrained checkpoint that plans may start from: public files, in a folder of the silo."""

    path: FilePath
    digest: str = Field(pattern=DIGEST_PATTERN)


class CapsSection(_Model):
    """Limits on size that hold for every plan and every request."""

    cells_per_marginal: int = Field(default=5_000_000, ge=1, le=2**40)
    cells_per_plan: int = Field(default=50_000_000, ge=1, le=2**40)
    marginals: int = Field(default=2_000, ge=1, le=100_000)
    attributes: int = Field(default=256, ge=1, le=4_096)
    message_mb: int = Field(default=64, ge=1, le=1_024)


class ApprovalSection(_Model):
    """Which plans are automatic. Without ``automatic = true`` every plan waits for a person."""

    automatic: bool = False
    max_epsilon: float | None = Field(default=None, gt=0, le=1000)
    max_alone_epsilon: float | None = Field(
        default=None, gt=0, le=1000, description="of a share of shared noise; default: max_epsilon"
    )
    max_delta: float | None = Field(default=None, gt=0, lt=1)
    methods: tuple[Annotated[Method, Field(strict=False)], ...] = Field(
        default=(), strict=False, max_length=8
    )
    projects: tuple[Name, ...] = Field(default=(), strict=False, max_length=1_000)
    coordinators: tuple[Name, ...] = Field(default=(), strict=False, max_length=1_000)
    needed: int | None = Field(
        default=None, ge=1, le=100, description="approvers who must sign; all of them by default"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        stated = self.max_epsilon is not None and self.max_delta is not None and self.methods
        if self.automatic and not stated:
            raise ValueError("automatic plans need max_epsilon, max_delta and methods")
        if (self.max_alone_epsilon or math.inf) < (self.max_epsilon or 0):
            raise ValueError("max_alone_epsilon is below max_epsilon: no shared plan reaches it")
        return self


class ApproverSection(_Model):
    """Somebody whose signed decisions count, made on a machine of their own."""

    name: Name
    key: PublicKey


class RelaySection(_Model):
    """Who may speak to the gateway: Unix users, by the socket at ``socket``.

    ``group`` lets users of that group reach the socket without root's help; who they are is asked
    all the same, and ``users`` alone are let in.
    """

    users: tuple[UserName, ...] = Field(default=(), strict=False, max_length=16)
    group: UserName | None = None
    socket: FilePath | None = Field(
        default=None, description="default: gateway.sock in the silo's directory"
    )
    operator_socket: FilePath | None = Field(
        default=None, description="default: operator.sock in the silo's directory"
    )


class MetricsSection(_Model):
    """Metrics and health: on a loopback port, or on a socket that the relay passes on."""

    port: int | None = Field(default=None, ge=0, le=65_535)
    socket: FilePath | None = Field(default=None, description="for a gateway without a network")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.port is not None and self.socket is not None:
            raise ValueError("metrics are served on a port or on a socket")
        return self


class LogsSection(_Model):
    """How the gateway writes its log; no data value is ever in it."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class PolicyFile(_Model):
    """A whole policy. ``home`` is the folder that its paths are relative to."""

    version: Literal[1]
    silo: SiloSection
    datasets: tuple[DatasetSection, ...] = Field(strict=False, min_length=1, max_length=100)
    coordinators: tuple[CoordinatorSection, ...] = Field(default=(), strict=False, max_length=100)
    projects: tuple[ProjectSection, ...] = Field(default=(), strict=False, max_length=1_000)
    checkpoints: tuple[CheckpointSection, ...] = Field(default=(), strict=False, max_length=100)
    caps: CapsSection = CapsSection()
    approval: ApprovalSection = ApprovalSection()
    approvers: tuple[ApproverSection, ...] = Field(default=(), strict=False, max_length=100)
    relay: RelaySection = RelaySection()
    metrics: MetricsSection = MetricsSection()
    logs: LogsSection = LogsSection()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what in ("datasets", "coordinators", "projects", "approvers"):
            names = [section.name for section in getattr(self, what)]
            if len(set(names)) < len(names):
                raise ValueError(f"{what}: a name stands twice")
        if len({c.key for c in self.coordinators}) < len(self.coordinators):
            raise ValueError("coordinators: two have the same key")
        for project in self.projects:
            if self.silo.name not in project.roster:
                raise ValueError(f"projects: the roster of {project.name!r} lacks this silo")
        self._check_approvers()
        _check_known("projects", self.approval.projects, {p.name for p in self.projects})
        _check_known("coordinators", self.approval.coordinators, set(self.consumers().values()))
        return self

    def _check_approvers(self) -> None:
        """Raise ValueError unless approvers are as many as are needed, each somebody else."""
        keys = [a.key for a in self.approvers]
        others = {c.key for c in self.coordinators}.union(
            *(p.roster.values() for p in self.projects)
        )
        if len(set(keys)) < len(keys):
            raise ValueError("approvers: two have the same key")
        if others & set(keys):
            raise ValueError("approvers: one has the key of a coordinator or of a silo")
        if (self.approval.needed or 0) > len(keys):
            raise ValueError("approval: more approvers are needed than the file names")

    def approving(self) -> Approvers:
        """Return whose signatures count, and how many a plan needs."""
        needed = self.approval.needed
        return Approvers(
            names={a.key: a.name for a in self.approvers},
            needed=len(self.approvers) if needed is None else needed,
        )

    def consumers(self) -> dict[PublicKey, str]:
        """Return the name of each coordinator by its key."""
        return {c.key: c.name for c in self.coordinators}

    def checkpoint_folders(self) -> dict[str, Path]:
        """Return where each pretrained checkpoint lies, by its digest."""
        return {c.digest: Path(c.path) for c in self.checkpoints}

    def scope_caps(self) -> dict[Scope, Cap]:
        """Return what each dataset, consumer and project may ever spend, in the ledger's units."""
        return {scope: budget.cap for scope, budget in self.budgets().items()}

    def budgets(self) -> dict[Scope, Budget]:
        """Return what each dataset, consumer and project may ever spend."""
        sections = (
            (ScopeKind.DATASET, self.datasets),
            (ScopeKind.CONSUMER, self.coordinators),
            (ScopeKind.PROJECT, self.projects),
        )
        return {
            Scope(kind=kind, name=section.name): section.budget
            for kind, group in sections
            for section in group
        }

    def limits(self, dataset: DatasetSection) -> Policy:
        """Return the limits that hold for requests on one data set."""
        return Policy(
            rows_per_person=dataset.rows_per_person,
            max_cells_per_marginal=self.caps.cells_per_marginal,
            max_cells_per_request=self.caps.cells_per_plan,
            max_marginals=self.caps.marginals,
            max_attributes=self.caps.attributes,
            max_message_bytes=self.caps.message_mb * 1_000_000,
        )

    def rules(self) -> Rules:
        """Return which plans are answered, and which of them without asking a person."""
        return Rules(
            rosters={p.name: dict(p.roster) for p in self.projects},
            approval=Approval(**self.approval.model_dump(exclude={"needed"})),
            approvers=self.approving(),
        )


def _check_known(what: str, stated: tuple[str, ...], known: set[str]) -> None:
    """Raise ValueError when the approval section names what is not in the file."""
    strange = sorted(set(stated) - known)
    if strange:
        raise ValueError(f"approval: {what} names {strange[0]!r}, which is not in the file")


def load_policy(path: Path) -> PolicyFile:
    """Read a policy; raise InvalidPolicy naming the file and the field.

    Guarantees: every path of what is returned is absolute.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise InvalidPolicy(f"{path}: cannot be read: {err.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidPolicy(f"{path}: is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as err:
        raise InvalidPolicy(f"{path}: is not valid TOML: {err}") from None
    return parse_policy(data, home=path.absolute().parent, origin=str(path))


def parse_policy(data: Mapping[str, Any], *, home: Path, origin: str = "policy") -> PolicyFile:
    """Build a policy from plain data; paths are taken relative to ``home``."""
    try:
        policy = PolicyFile.model_validate(_resolved(data, home=home))
        policy.scope_caps()
    except ValidationError as err:
        raise InvalidPolicy(f"{origin}: {describe_validation(err, data)}") from None
    except InvalidPlan as err:
        raise InvalidPolicy(f"{origin}: {err.message}", hint=err.hint) from None
    return policy


_PATHS = {
    "silo": ("key", "persons_secret", "directory"),
    "datasets": ("path", "schema", "map"),
    "checkpoints": ("path",),
    "relay": ("socket", "operator_socket"),
}


def _resolved(data: Mapping[str, Any], *, home: Path) -> dict[str, Any]:
    """Return the data with its paths made absolute; what is not a path is left to the model."""

    def resolve(section: Any, names: tuple[str, ...]) -> Any:
        if not isinstance(section, Mapping):
            return section
        return {
            k: str(home / v) if k in names and isinstance(v, str) and v.strip() else v
            for k, v in section.items()
        }

    result = dict(data)
    for name, fields in _PATHS.items():
        section = result.get(name)
        if isinstance(section, list):
            result[name] = [resolve(entry, fields) for entry in section]
        elif section is not None:
            result[name] = resolve(section, fields)
    return result
