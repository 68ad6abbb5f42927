"""Silos of a simulation: a directory each, with a table, a schema and a ledger of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from silosynth.client.gateway.dataset import Dataset
from silosynth.client.gateway.gateway import Gateway
from silosynth.client.learning.checkpoints import Checkpoints
from silosynth.client.ledger.ledger import Ledger
from silosynth.client.noise.discrete_gaussian import BitSource
from silosynth.client.policy.limits import Policy
from silosynth.client.source.open import SourceFormat, SourceSpec, open_source
from silosynth.client.sums.member import SumMember
from silosynth.client.sums.store import SumStore
from silosynth.common.audit.entries import Scope, ScopeKind
from silosynth.common.generator.checkpoint_files import digest_checkpoint
from silosynth.common.plan.budget import plan_units
from silosynth.common.plan.plan import Plan
from silosynth.common.schema.schema import load_schema

SILO_VERSION = 1


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
) -> tuple[SiloDirectory, ...]:
    """Set up a directory for each silo; one that is there already keeps its table and ledger."""
    silos = []
    for name in plan.silos:
        silo = SiloDirectory(path=directory / name)
        silo.path.mkdir(parents=True, exist_ok=True)
        if not silo.settings.exists():
            pq.write_table(tables[name], silo.table)
            if not silo.ledger.exists():
                Ledger.create(silo.ledger)
            _write_settings(silo, plan=plan, schema_path=schema_path)
        if checkpoint is not None:
            silo.checkpoint.write_text(json.dumps({"folder": str(checkpoint.resolve())}))
        silos.append(silo)
    return tuple(silos)


@contextmanager
def open_gateway(
    silo: SiloDirectory,
    *,
    bits: BitSource | None = None,
    tell_operator: Callable[[str], None] | None = None,
) -> Iterator[Gateway]:
    """Open the gateway of a silo's directory, and close its ledger afterwards."""
    settings = json.loads(silo.settings.read_text())
    schema = load_schema(Path(settings["schema"]))
    policy = Policy(rows_per_person=settings["rows_per_person"])
    tell = tell_operator or partial(_append_line, silo.path / "operator.log")
    project = Scope(kind=ScopeKind.PROJECT, name=settings["project"])
    with Ledger.open(silo.ledger, caps={project: settings["cap_units"]}) as ledger:
        spec = SourceSpec(format=SourceFormat.PARQUET, path=silo.table)
        rows = open_source(spec, schema=schema, tell_operator=tell)
        dataset = Dataset(schema=schema, rows=rows, policy=policy)
        yield Gateway(
            silo=silo.name,
            datasets={settings["dataset"]: dataset},
            ledger=ledger,
            sums=SumMember(silo=silo.name, store=SumStore(silo.path / "sums"), key=None),
            checkpoints=Checkpoints(_checkpoints(silo)),
            bits=bits,
            tell_operator=tell,
        )


def _checkpoints(silo: SiloDirectory) -> dict[str, Path]:
    """Return the checkpoint that a simulated silo has, by its digest."""
    folder = silo.checkpoint_folder()
    return {} if folder is None else {digest_checkpoint(folder): folder}


def _write_settings(silo: SiloDirectory, *, plan: Plan, schema_path: Path) -> None:
    """Write what the gateway needs to open; last, so that a crash leaves no half silo."""
    settings = {
        "version": SILO_VERSION,
        "schema": str(schema_path.resolve()),
        "dataset": plan.dataset,
        "rows_per_person": plan.privacy.rows_per_person,
        "project": plan.id,
        "cap_units": plan_units(plan),
    }
    silo.settings.write_text(json.dumps(settings, indent=1))


def _append_line(path: Path, line: str) -> None:
    """Append a line to a file that only the silo's operator reads."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
