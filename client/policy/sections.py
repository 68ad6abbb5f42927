"""The sections of a silo's policy: what each may say, checked one by one."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from silosynth.client.source import SourceFormat, SourceSpec
from silosynth.common.accounting import ORDERS, budget_order
from silosynth.common.audit import Cap
from silosynth.common.digest import DIGEST_PATTERN
from silosynth.common.errors import InvalidArgument
from silosynth.common.plan import MOST_MARGINALS, MOST_MEMBERS, Method, Name
from silosynth.common.schema import CsvDialect
from silosynth.common.trust import PublicKey


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


def _path(text: str) -> str:
    """Refuse a path that no file can have."""
    if "\0" in text or not text.strip():
        raise ValueError("is not a path")
    return text


FilePath = Annotated[str, Field(max_length=4096), AfterValidator(_path)]
TableName = Annotated[str, Field(min_length=1, max_length=64)]
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,253}$")]
UserName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}\$?$")]


_OF_ONE_TABLE = ("format", "path", "uri", "query", "cluster", "map_path", "person_column", "csv")


class Budget(Section):
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


class SiloSection(Section):
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
    previous_keys: tuple[PublicKey, ...] = Field(
        default=(), strict=False, max_length=100, description="its own before; receipts still bind"
    )


class TableSection(Section):
    """Where the rows of one of several tables are: a file, a folder, or one query."""

    format: Annotated[SourceFormat, Field(strict=False)]
    path: FilePath | None = None
    uri: str | None = Field(default=None, max_length=4096)
    query: str | None = Field(default=None, max_length=100_000)
    csv: CsvDialect | None = None

    def source(self, *, push_down: bool) -> SourceSpec:
        """Return where the rows are."""
        return SourceSpec(
            format=self.format,
            path=None if self.path is None else Path(self.path),
            uri=self.uri,
            query=self.query,
            push_down=push_down,
            allow_extra=True,
            csv=self.csv,
        )


class DatasetSection(Section):
    """A table, what is public about it, and what it may ever cost; or several that hang together.

    Of several, ``tables`` says by name where each is; a person is then a row of the persons' table
    with all rows below it, and ``push_down`` lets a PostgreSQL server join them.
    """

    name: Name
    format: Annotated[SourceFormat, Field(strict=False)] | None = None
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
    tables: dict[TableName, TableSection] | None = Field(
        default=None, min_length=1, max_length=64, description="of several tables, where each is"
    )
    budget: Budget

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            if self.tables is None:
                self.source()
            else:
                self._check_tables()
        except InvalidArgument as err:
            raise ValueError(err.message) from None
        return self

    def _check_tables(self) -> None:
        """Raise ValueError for what only one table has, and for a server that holds a part."""
        said = {name: getattr(self, name) for name in _OF_ONE_TABLE}
        stated = [name for name, value in said.items() if value is not None]
        if stated or self.rows_per_person != 1:
            what = stated[0].removesuffix("_path") if stated else "rows_per_person"
            raise ValueError(
                f"{what}: belongs to one table, and tables names several; leave it out"
            )
        for name, spec in self.sources().items():
            if self.push_down and spec.uri != next(iter(self.sources().values())).uri:
                raise ValueError(f"push_down: table {name!r} is in another database than the first")

    def sources(self) -> dict[str, SourceSpec]:
        """Return where the rows of each of several tables are."""
        tables = self.tables or {}
        return {name: t.source(push_down=self.push_down) for name, t in tables.items()}

    @property
    def uris(self) -> tuple[str, ...]:
        """Return the servers that rows are on."""
        uris = [self.uri, *(t.uri for t in (self.tables or {}).values())]
        return tuple(uri for uri in uris if uri is not None)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files and folders that rows are in."""
        paths = [self.path, *(t.path for t in (self.tables or {}).values())]
        return tuple(Path(path) for path in paths if path is not None)

    def source(self) -> SourceSpec:
        """Return where the rows of the one table are."""
        if self.format is None:
            raise InvalidArgument("format: is missing; or name several tables under tables")
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


class CoordinatorSection(Section):
    """A coordinator whose plans are read at all, and what it may ever spend."""

    name: Name
    key: PublicKey
    budget: Budget


class ProjectSection(Section):
    """A project: its budget, and the keys of the silos that take part, this one included."""

    name: Name
    budget: Budget
    public_budget: bool = Field(
        default=False, description="tell whoever asks who this silo is what is left of the budget"
    )
    roster_version: int = Field(default=0, ge=0, le=1_000_000, description="of the roster below")
    roster: dict[Name, PublicKey] = Field(min_length=1, max_length=10_000)


class CheckpointSection(Section):
    """A pretrained checkpoint that plans may start from: public files, in a folder of the silo."""

    path: FilePath
    digest: str = Field(pattern=DIGEST_PATTERN)


class CapsSection(Section):
    """Limits that hold for every plan and every request, whoever approves."""

    cells_per_marginal: int = Field(default=5_000_000, ge=1, le=2**40)
    cells_per_plan: int = Field(default=50_000_000, ge=1, le=2**40)
    marginals: int = Field(default=150_000, ge=1, le=MOST_MARGINALS)
    attributes: int = Field(default=600, ge=1, le=4_096)
    message_mb: int = Field(default=64, ge=1, le=1_024)
    silos_in_sum: int = Field(
        default=1, ge=1, le=MOST_MEMBERS, description="whose rows are summed in whatever leaves"
    )
    embedding: str | None = Field(
        default=None,
        pattern=DIGEST_PATTERN,
        description="the only one by which votes may be counted; silosynth's own without",
    )


class ApprovalSection(Section):
    """Which plans are automatic. Without ``automatic = true`` every plan waits for a person."""

    automatic: bool = False
    max_epsilon: float | None = Field(default=None, gt=0, le=1000)
    max_alone_epsilon: float | None = Field(
        default=None, gt=0, le=1000, description="of a share of shared noise; default: max_epsilon"
    )
    max_delta: float | None = Field(default=None, gt=0, lt=1)
    methods: tuple[Annotated[Method, Field(strict=False)], ...] = Field(
        default=(), strict=False, max_length=16
    )
    projects: tuple[Name, ...] = Field(default=(), strict=False, max_length=1_000)
    coordinators: tuple[Name, ...] = Field(default=(), strict=False, max_length=1_000)
    needed: int | None = Field(
        default=None, ge=1, le=100, description="approvers who must sign; all of them by default"
    )
    roster_vouchers: int | None = Field(default=None, ge=1, le=1_000, description="see Rules")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        stated = self.max_epsilon is not None and self.max_delta is not None and self.methods
        if self.automatic and not stated:
            raise ValueError("automatic plans need max_epsilon, max_delta and methods")
        if (self.max_alone_epsilon or math.inf) < (self.max_epsilon or 0):
            raise ValueError("max_alone_epsilon is below max_epsilon: no shared plan reaches it")
        return self


class ApproverSection(Section):
    """Somebody whose signed decisions count, made on a machine of their own."""

    name: Name
    key: PublicKey


class RelaySection(Section):
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


class MetricsSection(Section):
    """Metrics and health: on a loopback port, or on a socket that the relay passes on."""

    port: int | None = Field(default=None, ge=0, le=65_535)
    socket: FilePath | None = Field(default=None, description="for a gateway without a network")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.port is not None and self.socket is not None:
            raise ValueError("metrics are served on a port or on a socket")
        return self


class LedgerSection(Section):
    """Where a second copy of the ledger is written before anybody hears of a charge or answer."""

    mirror: FilePath | None = Field(default=None, description="a file on another disk")


class MailSection(Section):
    """A mail server, and who hears from it."""

    to: tuple[Address, ...] = Field(strict=False, min_length=1, max_length=20)
    sender: Address
    host: str = Field(default="localhost", pattern=r"^[A-Za-z0-9.:_-]{1,253}$")
    port: int = Field(default=25, ge=1, le=65_535)
    security: Literal["none", "starttls", "tls"] = "none"
    user: str | None = Field(default=None, min_length=1, max_length=256)
    password_file: FilePath | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file go together")
        if self.user is not None and self.security == "none":
            raise ValueError("a password needs security = 'starttls' or 'tls'")
        return self


class NotifySection(Section):
    """Who is told that plans wait, and by which of four ways; by all that are named."""

    command: tuple[str, ...] = Field(default=(), strict=False, max_length=64)
    webhook: str | None = Field(default=None, max_length=2048, description="https://, by POST")
    mail: MailSection | None = None
    directory: FilePath | None = Field(
        default=None, description="a folder that a program of another user looks into"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.webhook is not None:
            _check_url(self.webhook)
        if self.command and not self.command[0].startswith("/"):
            raise ValueError("the command needs the whole path of its program")
        return self


def _check_url(url: str) -> None:
    """Raise ValueError unless a notice may be posted to a URL."""
    parts = urlsplit(url)
    if not url.isascii() or not url.isprintable() or " " in url or parts.username is not None:
        raise ValueError("the webhook is no plain URL; a secret belongs into its path or query")
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or (parts.scheme != "https" and not (local and parts.scheme == "http")):
        raise ValueError("the webhook is not https://, or http:// on this machine")
    if parts.port == 0:
        raise ValueError("the webhook has no usable port")


class LogsSection(Section):
    """How the gateway writes its log; no data value is ever in it."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"
