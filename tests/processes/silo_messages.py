"""A second data set of a federation's silos, messages that vote, and a program that writes such."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from silosynth.common.plan import Plan
from silosynth.common.schema import dump_schema
from silosynth.server.federation import load_roster, with_roster
from silosynth.server.planning import new_plan
from tests.processes.federation import NAME, SILOS, wait_for
from tests.processes.warm import Begun
from tests.support.command_line import COMMAND
from tests.support.patience import patience
from tests.support.tables.texts import messages

DATASET = "messages"
ROUNDS = ("votes-1", "votes-2")
OPENINGS = ("win a prize, call", "dinner at home at", "free ring tone, text", "see you at")

_PROGRAM = """#!{python}
import json, os, sys, time
lines = [line.rstrip("\\n") for line in sys.stdin]
with open({asked!r}, "a") as asked:
    asked.write(json.dumps(lines) + "\\n")
if any(lines) and not os.path.exists({held!r}):
    open({held!r}, "w").close()
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.05)
    sys.exit(1)
for number, line in enumerate(lines):
    print(line and line + "!" or {openings!r}[number % 4] + " " + str(number))
"""


class WithMessages(Begun):
    """Silos that hold messages beside the table of people, each one person's."""

    def write_table(self, silo: str) -> None:
        """Put both data sets in place."""
        super().write_table(silo)
        place = self.table(silo).parent
        pq.write_table(_messages_of(silo), place / "messages.parquet")
        for folder in (self.directory, place):
            (folder / "messages.yaml").write_text(dump_schema(messages()))

    def votes_plan(self) -> Plan:
        """Return a plan by which messages vote twice."""
        plan = new_plan(
            messages(),
            method="votes",
            epsilon=3.0,
            delta=1e-6,
            silos=SILOS,
            plan_id="votes",
            candidates=8,
            vote_rounds=len(ROUNDS),
            alphabet="ascii",
        ).model_copy(update={"dataset": DATASET})
        return with_roster(plan, load_roster(self.certs.roster))

    def run_killed_at_variations(self, generator: WaitingGenerator) -> dict[str, Any]:
        """Run its plan, kill the coordinator while variations are written, and resume the run."""
        start = [str(self.directory / "plan.yaml"), f"--federation={NAME}", "--json"]
        start += [f"--schema={self.directory / 'messages.yaml'}", f"--generator={generator.path}"]
        coordinator = self.spawn("coordinator", [*COMMAND, "run", *start])

        def waits() -> bool:
            assert coordinator.poll() is None, self.log("coordinator")
            return generator.held.exists()

        wait_for("the generator", waits)
        self.kill("coordinator")
        (found,) = (self.home / "runs").glob("votes-*/run.json")
        resumed = [f"--resume={found.parent.name}", "--json"]
        code = self.spawn("coordinator", [*COMMAND, "run", *resumed]).wait(timeout=patience(60))
        assert code == 0, self.log("coordinator")
        said = (self.directory / "coordinator.out").read_text()
        data: dict[str, Any] = json.loads(said.splitlines()[-1])["data"]
        return data

    def _policy(self, silo: str, *, automatic: bool) -> str:
        text = super()._policy(silo, automatic=automatic)
        budget = "budget = { epsilon = 20.0, delta = 1e-6 }"
        section = f"""[[datasets]]
name = "{DATASET}"
person_column = "who"
format = "parquet"
path = "messages.parquet"
schema = "messages.yaml"
schema_digest = "{messages().digest}"
{budget}
"""
        text = text.replace("[[coordinators]]", section + "[[coordinators]]", 1)
        return text.replace('"evaluate"]', '"evaluate", "votes"]')


class WaitingGenerator:
    """A program that notes what it is asked, and at its first variations waits to be orphaned."""

    def __init__(self, directory: Path) -> None:
        self.path, self.held = directory / "generator", directory / "held"
        self._asked = directory / "asked"
        said = _PROGRAM.format(
            python=sys.executable,
            asked=str(self._asked),
            held=str(self.held),
            openings=OPENINGS,
        )
        self.path.write_text(said)
        self.path.chmod(0o755)

    def asked(self) -> list[Sequence[str]]:
        """Return the lines of each time that it was asked."""
        return [json.loads(line) for line in self._asked.read_text().splitlines()]


def _messages_of(silo: str, *, rows: int = 120) -> pa.Table:
    """Return one silo's messages: prizes and ring tones are spam."""
    random = np.random.default_rng(SILOS.index(silo))
    which = random.integers(0, len(OPENINGS), rows)
    texts = [f"{OPENINGS[i]} {n}" for i, n in zip(which, random.integers(0, 10, rows), strict=True)]
    kinds = [("spam", "ham")[i % 2] for i in which.tolist()]
    return pa.table({"kind": kinds, "text": texts, "who": [f"{silo}-{i}" for i in range(rows)]})
