"""Silos of a simulation: a directory each, with a table, a schema and a ledger of its own."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from silosynth.client.gateway import Dataset, Gateway
from silosynth.client.learning import Checkpoints, needed_checkpoint
from silosynth.client.ledger import Ledger
from silosynth.client.maps import NO_MAP, SiloMap, dump_map, load_map
from silosynth.client.noise import BitSource
from silosynth.client.policy import Policy
from silosynth.client.source import (
    Bounding,
    Source,
    SourceFormat,
    SourceSpec,
    Splitting,
    load_secret,
    make_secret,
    open_source,
    open_table,
    splitting,
)
from silosynth.client.source.bounding import bounding
from silosynth.client.sums import SUMS, SumMember, SumStore, each_time
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.errors import InvalidArgument, OutputExists, RunFailed
from silosynth.common.generator import (
    OWN_EMBEDDINGS,
    digest_checkpoint,
    require_digest,
    short,
)
from silosynth.common.plan import Plan, plan_units
from silosynth.common.schema import Schema, load_schema
from silosynth.simulations.one_process import OneProcess, write_private

SILO_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SiloDirectory:
    """Where one simulated silo keeps its things."""

    path: Path

    @property
    def name(self) -> str:
        """Return the silo's name."""
        return self.path.name

    @property
    def table(self) -> Path:
        """Return the path of the table."""
        return self.path / "table.parquet"

    @property
    def ledger(self) -> Path:
        """Return the path of the ledger."""
        return self.path / "ledger.sqlite"

    @property
    def checkpoint(self) -> Path:
        """Return the path of the file that says where a pretrained checkpoint lies."""
        return self.path / "checkpoint.json"

    def checkpoint_folder(self) -> Path | None:
        """Return where a pretrained checkpoint lies; None where none was named."""
        if not self.checkpoint.exists():
            return None
        return Path(json.loads(self.checkpoint.read_text())["folder"])

    @property
    def secret(self) -> Path:
        """Return the path of the secret that chooses the rows of each person."""
        return self.path / "persons.secret"

    @property
    def map(self) -> Path:
        """Return the path of the map that the table is brought to the schema by, if any."""
        return self.path / "map.yaml"

    def silo_map(self) -> SiloMap:
        """Return the map; the empty one where there is none."""
        return load_map(self.map) if self.map.exists() else NO_MAP

    @property
    def schema(self) -> Path:
        """Return the path of the schema that the silo was set up with."""
        return Path(_settings(self)["schema"])

    @property
    def settings(self) -> Path:
        """Return the path of the silo's settings."""
        return self.path / "silo.json"


def make_silos(
    directory: Path,
    *,
    plan: Plan,
    schema_path: Path,
    tables: Mapping[str, pa.Table],
    checkpoint: Path | None = None,
    person_column: str | None = None,
    rows_per_person: int | None = None,
    maps: Mapping[str, SiloMap] | None = None,
) -> tuple[SiloDirectory, ...]:
    """Set up a directory for each silo, for its owner alone; one that is there keeps its ledger.

    Its table becomes the one that is given, so that rows that were deleted are gone.

    Args:
        person_column: bounds the rows of a person, as a policy's does; rows are persons without it.
        rows_per_person: the most that a plan gets of one person; what it asks for by default.
        maps: how the table of a silo is brought to the schema.

    Raises OutputExists when a silo was set up with other persons.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    silos = []
    for name in plan.silos:
        silo = SiloDirectory(path=directory / name)
        silo.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        silo.path.chmod(0o700)
        settings: dict[str, Any] = {
            "version": SILO_VERSION,
            "schema": str(schema_path.resolve()),
            "dataset": plan.dataset,
            "person_column": person_column,
            "rows_per_person": rows_per_person or plan.privacy.rows_per_person,
            "project": plan.id,
            "cap_units": plan_units(plan),
        }
        silo_map = (maps or {}).get(name, NO_MAP)
        if silo_map.columns:
            settings["map"] = silo_map.model_dump(mode="json", by_alias=True)
            write_private(silo.map, dump_map(silo_map).encode())
            if not silo.secret.exists():
                make_secret(silo.secret)
        _write_table(silo.table, tables[name])
        if not silo.settings.exists():
            if not silo.ledger.exists():
                write_private(silo.ledger, Ledger.blank())
            wanted = person_column is not None or plan.held_out is not None
            if wanted and not silo.secret.exists():
                make_secret(silo.secret)
            write_private(silo.settings, json.dumps(settings, indent=1).encode())
        elif _settings(silo) != settings:
            raise OutputExists(
                f"{silo.path} was set up with another schema, another map or other persons",
                hint="choose another directory, or add --force to replace it",
            )
        if checkpoint is not None:
            folder = json.dumps({"folder": str(checkpoint.resolve())})
            write_private(silo.checkpoint, folder.encode())
        silos.append(silo)
    return tuple(silos)


def refill_silos(directory: Path, *, tables: Mapping[str, pa.Table]) -> tuple[SiloDirectory, ...]:
    """Give silos that are set up other tables; all else stays as it is."""
    silos = tuple(SiloDirectory(path=directory / name) for name in tables)
    for silo in silos:
        _write_table(silo.table, tables[silo.name])
    return silos


def secrets_of(silos: Iterable[SiloDirectory]) -> dict[str, bytes]:
    """Return the secrets of those silos that have one, by which they choose rows of a person."""
    return {silo.name: load_secret(silo.secret) for silo in silos if silo.secret.exists()}


@contextmanager
def open_gateway(
    silo: SiloDirectory,
    *,
    bits: BitSource | None = None,
    tell_operator: Callable[[str], None] | None = None,
    shared: OneProcess | None = None,
    samplers: Callable[[str], bytes | None] | None = None,
    least_units: int = 0,
) -> Iterator[Gateway]:
    """Open the gateway of a silo's directory, and close its ledger afterwards.

    Args:
        shared: what other silos of this process have read already.
        samplers: finds the samplers that were delivered, by their plans.
        least_units: what the silo's budget is at least.
    """
    settings = _settings(silo)
    once = shared.once if shared else each_time
    schema = shared.codec.schema if shared else load_schema(Path(settings["schema"]))
    checkpoints = _checkpoints(silo)
    policy = Policy(
        rows_per_person=settings["rows_per_person"], embeddings=OWN_EMBEDDINGS.union(checkpoints)
    )
    tell = tell_operator or partial(_append_line, silo.path / "operator.log")
    project = Scope(kind=ScopeKind.PROJECT, name=settings["project"])
    person = settings["person_column"]
    bound = None if person is None else bounding(load_secret(silo.secret), tell_operator=tell)
    with _open_ledger(
        silo, caps={project: max(settings["cap_units"], least_units)}, shared=shared
    ) as ledger:
        rows = _open_rows(
            silo, schema=schema, person_column=person, bound=bound, tell=tell, shared=shared
        )
        silo_map = silo.silo_map()
        dataset = Dataset(
            schema=schema,
            rows=rows,
            policy=policy,
            bounded=person is not None,
            lacks=silo_map.absent,
            map_digest=silo_map.digest(load_secret(silo.secret)) if silo_map.columns else None,
            splitting=_splitting(silo, dataset=settings["dataset"], person_column=person),
        )
        yield Gateway(
            silo=silo.name,
            datasets={settings["dataset"]: dataset},
            ledger=ledger,
            sums=SumMember(silo=silo.name, store=_sums(silo, shared), key=None, once=once),
            checkpoints=Checkpoints(checkpoints),
            samplers=samplers,
            bits=bits,
            tell_operator=tell,
            once=once,
        )


def _splitting(silo: SiloDirectory, *, dataset: str, person_column: str | None) -> Splitting | None:
    """Return who is held out, where persons have names and the silo a secret to tell by."""
    if person_column is None or not silo.secret.exists():
        return None
    return splitting(load_secret(silo.secret), dataset=dataset, person_column=person_column)


def _open_ledger(
    silo: SiloDirectory, *, caps: Mapping[Scope, int], shared: OneProcess | None
) -> Ledger:
    """Open a silo's ledger from its file, in memory where those of its process are held."""
    if shared is None or shared.ledgers is None:
        return Ledger.open(silo.ledger, caps=caps)
    return shared.ledgers.open(silo.ledger, caps=caps)


def _sums(silo: SiloDirectory, shared: OneProcess | None) -> SumStore:
    """Return where a silo keeps its sessions, never ahead of its ledger, and synced as that is."""
    if shared is None or shared.ledgers is None:
        return SumStore(silo.path / SUMS)
    return SumStore(silo.path / SUMS, write=partial(shared.ledgers.write_after, silo.ledger))


def _open_rows(
    silo: SiloDirectory,
    *,
    schema: Schema,
    person_column: str | None,
    bound: Bounding | None,
    tell: Callable[[str], None],
    shared: OneProcess | None,
) -> Source:
    """Return a silo's rows: those in memory, or its file."""
    table, silo_map = shared.tables.get(silo.name) if shared else None, silo.silo_map()
    if shared is None or table is None or silo_map.columns:
        spec = SourceSpec(format=SourceFormat.PARQUET, path=silo.table, person_column=person_column)
        return open_source(
            spec,
            schema=schema,
            bounding=bound,
            silo_map=silo_map,
            tell_operator=tell,
            codec=None if shared is None or silo_map.columns else shared.codec,
        )
    return open_table(
        table,
        schema=schema,
        person_column=person_column,
        bounding=bound,
        tell_operator=tell,
        codec=shared.codec,
    )


def _checkpoints(silo: SiloDirectory) -> dict[str, Path]:
    """Return the checkpoint that a simulated silo has, by its digest."""
    folder = silo.checkpoint_folder()
    return {} if folder is None else {digest_checkpoint(folder): folder}


def _settings(silo: SiloDirectory) -> dict[str, Any]:
    """Return what a gateway needs to open; raise RunFailed for settings of another version."""
    settings: dict[str, Any] = json.loads(silo.settings.read_text())
    if settings.get("version") != SILO_VERSION:
        raise RunFailed(
            f"{silo.path} was made by another version", hint="start the run in a new directory"
        )
    return settings


def _write_table(path: Path, table: pa.Table) -> None:
    """Write real rows for their owner alone, unless they are there already."""
    if path.exists():
        path.chmod(0o600)
        if pq.read_table(path, partitioning=None).equals(table):
            return
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    write_private(path, buffer.getvalue())


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep a run's directory for this process; raise RunFailed while another one has it."""
    with os.fdopen(os.open(directory / ".lock", os.O_CREAT | os.O_RDWR, 0o600)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise RunFailed(
                f"another process runs the simulation in {directory}",
                hint="wait for it, or choose another directory",
            ) from err
        yield


def _append_line(path: Path, line: str) -> None:
    """Append a line to a file that only the silo's operator reads."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a") as file:
        file.write(line + "\n")


def require_checkpoint(plan: Plan, schema: Schema, folder: Path | None) -> None:
    """Raise before anything is spent unless the checkpoint of a plan is here and fits it."""
    needed = needed_checkpoint(plan)
    if needed is None:
        if folder is not None:
            raise InvalidArgument(f"plan {plan.id} needs no checkpoint", hint="leave it out")
        return
    digest, what = needed
    if folder is None:
        raise InvalidArgument(
            f"plan {plan.id} {what} the checkpoint {short(digest)}",
            hint="say in which folder it lies with --checkpoint",
        )
    require_digest(folder, digest)
    Checkpoints({digest: folder}).require(plan, schema)
