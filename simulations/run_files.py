"""What a run on one machine keeps, and what it hands out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from silosynth.common.certificate import Certificate
from silosynth.common.errors import (
    OutputExists,
)
from silosynth.common.messages import Receipt
from silosynth.common.plan import Plan, dump_plan, load_plan
from silosynth.common.sampler import (
    AnySampler,
    AutoregressiveSampler,
    save_sampler,
)
from silosynth.common.schema import Schema, dump_schema
from silosynth.server.coordinator import State
from silosynth.server.methods import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """Where a run keeps its plan, schema, journal, silos and results."""

    path: Path

    @property
    def plan(self) -> Path:
        """Return the path of the plan."""
        return self.path / "plan.yaml"

    @property
    def schema(self) -> Path:
        """Return the path of the schema."""
        return self.path / "schema.yaml"

    @property
    def silos(self) -> Path:
        """Return the directory that holds one directory a silo."""
        return self.path / "silos"

    @property
    def sampler(self) -> Path:
        """Return the path of the sampler."""
        return self.path / "result.sampler"

    @property
    def certificate(self) -> Path:
        """Return the path of the privacy certificate."""
        return self.path / "certificate.json"

    @property
    def report(self) -> Path:
        """Return the path of the HTML report."""
        return self.path / "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run hands out. ``receipts`` are what each silo said of its releases.

    ``reopened`` says that the sampler was fitted again, from what a directory keeps.
    """

    outcome: Outcome
    receipts: Mapping[str, tuple[Receipt, ...]]
    state: State
    reopened: bool = False

    @property
    def sampler(self) -> AnySampler:
        """Return the sampler."""
        return self.outcome.sampler

    @property
    def certificate(self) -> Certificate:
        """Return the privacy certificate."""
        return self.outcome.certificate


def with_checkpoint(outcome: Outcome, folder: Path | None) -> Outcome:
    """Return the outcome with a sampler that writes its texts, where that needs a checkpoint."""
    sampler = outcome.sampler
    if folder is None or not isinstance(sampler, AutoregressiveSampler):
        return outcome
    return replace(outcome, sampler=sampler.with_checkpoint(folder))


@contextmanager
def open_directory(directory: Path | None) -> Iterator[RunDirectory]:
    """Yield the run's directory: the given one, or one that is removed afterwards."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield RunDirectory(path=directory)
        return
    with tempfile.TemporaryDirectory(prefix="silosynth-") as name:
        yield RunDirectory(path=Path(name))


def claim(run: RunDirectory, *, plan: Plan, schema: Schema) -> None:
    """Write plan and schema into a new directory; refuse one that belongs to another plan."""
    if run.plan.exists():
        if load_plan(run.plan).digest != plan.digest:
            raise OutputExists(
                f"{run.path} holds a run of another plan",
                hint="choose another directory, or add --force to replace it",
            )
        return
    run.schema.write_text(dump_schema(schema), encoding="utf-8")
    run.plan.write_text(dump_plan(plan), encoding="utf-8")


def write_outcome(run: RunDirectory, outcome: Outcome) -> None:
    """Write sampler and certificate; the same run gives the same bytes."""
    save_sampler(outcome.sampler, run.sampler, force=True)
    text = json.dumps(outcome.certificate.model_dump(mode="json"), indent=1, sort_keys=True)
    run.certificate.write_text(text + "\n", encoding="utf-8")
