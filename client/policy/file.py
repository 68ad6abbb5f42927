"""The policy of a silo: a TOML file that its operator writes and its security officer reads.

It is validated as data: unknown fields are refused, and every limit has a default that is the
strictest sensible one. Paths are relative to the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from silosynth.client.policy.approvers import Approvers
from silosynth.client.policy.limits import Policy
from silosynth.client.policy.rules import Approval, Rules
from silosynth.client.policy.sections import (
    ApprovalSection,
    ApproverSection,
    Budget,
    CapsSection,
    CheckpointSection,
    CoordinatorSection,
    DatasetSection,
    LedgerSection,
    LogsSection,
    MetricsSection,
    NotifySection,
    ProjectSection,
    RelaySection,
    Section,
    SiloSection,
)
from silosynth.common.audit import Cap, Scope, ScopeKind
from silosynth.common.document import describe_validation
from silosynth.common.errors import InvalidPlan, InvalidPolicy
from silosynth.common.generator import OWN_EMBEDDINGS
from silosynth.common.trust import PublicKey


class PolicyFile(Section):
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
    ledger: LedgerSection = LedgerSection()
    metrics: MetricsSection = MetricsSection()
    notify: NotifySection = NotifySection()
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
        self._check_embedding()
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

    def _check_embedding(self) -> None:
        """Raise ValueError for an embedding that is neither silosynth's own nor a checkpoint's."""
        embedding, folders = self.caps.embedding, self.checkpoint_folders()
        if embedding is not None and embedding not in OWN_EMBEDDINGS.union(folders):
            raise ValueError(
                f"embedding: {embedding} is none of silosynth's own, and no checkpoint of this file"
            )

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

    def mirror(self) -> Path | None:
        """Return where the ledger's mirror is, if it has one."""
        return None if self.ledger.mirror is None else Path(self.ledger.mirror)

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
            silos_in_sum=self.caps.silos_in_sum,
            max_cells_per_marginal=self.caps.cells_per_marginal,
            max_cells_per_request=self.caps.cells_per_plan,
            max_marginals=self.caps.marginals,
            max_attributes=self.caps.attributes,
            max_message_bytes=self.caps.message_mb * 1_000_000,
            embeddings=frozenset({named}) if (named := self.caps.embedding) else OWN_EMBEDDINGS,
        )

    def rules(self) -> Rules:
        """Return which plans are answered, and which of them without asking a person."""
        return Rules(
            rosters={p.name: dict(p.roster) for p in self.projects},
            versions={p.name: p.roster_version for p in self.projects},
            vouchers=self.approval.roster_vouchers,
            approval=Approval(**self.approval.model_dump(exclude={"needed", "roster_vouchers"})),
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
    "ledger": ("mirror",),
    "notify": ("directory",),
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
            result[name] = [_with_tables(resolve(entry, fields), resolve) for entry in section]
        elif section is not None:
            result[name] = resolve(section, fields)
    return result


def _with_tables(section: Any, resolve: Callable[[Any, tuple[str, ...]], Any]) -> Any:
    """Return a data set whose tables have absolute paths, where it has any."""
    tables = section.get("tables") if isinstance(section, Mapping) else None
    if not isinstance(tables, Mapping):
        return section
    return {**section, "tables": {n: resolve(t, ("path",)) for n, t in tables.items()}}
