"""A federation whose processes are forked from one launcher, can be trapped, and are all counted.

with Lab(directory) as lab:
    lab.start()                       gateways; with over_flower=True SuperLink and relays too
    run_cell(lab, cell)               see cells.py
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import pyarrow.parquet as pq

from silosynth.client.ledger import Ledger
from silosynth.common.audit.audit import AuditSummary
from silosynth.common.plan import Plan, dump_plan, load_plan
from silosynth.common.reach import free_port
from silosynth.common.tables import AnySchema, dump_tables
from silosynth.server.federation import load_roster, with_roster
from silosynth.simulations.real_time.forked import Forked
from tests.processes.federation import (
    NAME,
    SILOS,
    federation_plan,
    read_audit,
    wait_for,
)
from tests.processes.silo_families import (
    families_plan,
    families_schema,
    families_section,
    write_families,
)
from tests.processes.silo_tables import token_table
from tests.processes.warm import Warm

BUDGET = "epsilon = 1000.0"
EPSILON = 2.0
POOR = "poor"
"""A project whose budget pays for nothing."""
SHARED_EPSILON = 1.0
"""A silo's share of the noise has to be large enough for the sum to be a discrete Gaussian."""
METHODS = ("mst", "independent")
FAMILIES = "families"
"""The method of the laboratory's data set of several tables, by own noise alone."""
MIRRORED = SILOS[-1]
"""The silo whose gateway writes a mirror of its ledger, whatever is killed."""
TRUSTS = ("own", "shared")


class Lab(Warm):
    """A federation for kills: short plans, large budgets, one launcher."""

    def __init__(self, directory: Path, *, over_flower: bool = False) -> None:
        directory.mkdir(exist_ok=True)
        self.over_flower = over_flower
        self.gateway_metrics = {silo: free_port() for silo in SILOS}
        super().__init__(directory)
        self.relay_metrics = {silo: free_port() for silo in SILOS}
        self.reading = {silo: RLock() for silo in SILOS}
        """Who reads a ledger that no gateway has, or starts one that takes it, does so alone."""
        (directory / "tmp").mkdir()

    def certified(self) -> Sequence[Path]:
        """Write plans like those of the cells, and return their files."""
        like = {f"like-{m}-{t}": (m, t) for m in METHODS for t in TRUSTS}
        like |= {f"like-{FAMILIES}": (FAMILIES, "own")} if not self.over_flower else {}
        for name, (method, trust) in like.items():
            self.new_plan(name, method=method, trust=trust)
        return [self.directory / f"{name}.yaml" for name in like]

    def start(self) -> None:
        """Start the gateways, and Flower's part where it is wanted."""
        if self.over_flower:
            self.start_superlink()
            self.admit()
        for silo in SILOS:
            self.start_gateway(silo)
        if self.over_flower:
            for silo in SILOS:
                self.start_relay(silo)
            self.wait_online(SILOS)

    def pid(self, name: str) -> int:
        """Return a process id."""
        return self.processes[name].pid

    def supernode_pid(self, silo: str) -> int:
        """Return the SuperNode's process id: the relay's only child."""
        relay = self.pid(f"relay-{silo}")
        children = Path(f"/proc/{relay}/task").glob("*/children")
        return next(int(pid) for path in children for pid in path.read_text().split())

    def start_gateway(  # type: ignore[override]  # a gateway of this laboratory
        self, silo: str, *, mutant: str | None = None, **_: Any
    ) -> None:
        """Start a gateway, and return once it serves."""
        ready = self.directory / f"gateway-{silo}.ready"
        ready.unlink(missing_ok=True)
        words = [str(self.policy(silo)), f"--silo={silo}", f"--notes={self.directory}"]
        process = self.spawn(f"gateway-{silo}", words + ([f"--mutant={mutant}"] if mutant else []))

        def there() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"gateway {silo} ended: {self.log(f'gateway-{silo}')[-2000:]}")
            return ready.exists()

        wait_for(f"the gateway of {silo}", there)

    def renew(self, *, mutant: str | None = None) -> None:
        """Give every silo an empty ledger, and the north a mutant; nobody remembers the old ones.

        A mutant's ledger would stay fenced: coordinators keep receipts that it does not honour.
        """
        for name in list(self.processes):
            self.kill(name)
        shutil.rmtree(self.home / "receipts", ignore_errors=True)
        for silo in SILOS:
            state = self.ledger(silo).parent
            shutil.rmtree(state)
            state.mkdir(mode=0o700)
            Ledger.create(self.ledger(silo))
            self.start_gateway(silo, mutant=mutant if silo == SILOS[0] else None)

    def new_plan(
        self,
        name: str,
        *,
        method: str = "mst",
        trust: str = "own",
        absent: int = 0,
        attempts: int = 1,
        **fields: Any,
    ) -> Plan:
        """Return a plan that no silo has seen, and write it down; ``fields`` are put in at last."""
        arguments = {"plan_id": name, "method": method, "epsilon": EPSILON, "trust": trust}
        if trust == "shared":
            arguments |= {"epsilon": SHARED_EPSILON, "absent": absent, "attempts": attempts}
        if method == FAMILIES:
            roster = load_roster(self.certs.roster)
            plan = with_roster(families_plan(name, epsilon=EPSILON), roster)
        else:
            plan = federation_plan(self.certs, **arguments)
        plan = plan.model_copy(update=fields)
        (self.directory / f"{name}.yaml").write_text(dump_plan(plan))
        return plan

    def start_run(
        self,
        name: str,
        *,
        resume: str | None = None,
        mutant: str | None = None,
        options: Sequence[str] = (),
    ) -> Forked:
        """Start a coordinator for the plan of this name, or resume its run."""
        words = [f"--notes={self.directory}", f"--witness=coordinator-{name}"]
        words += [f"--mutant={mutant}"] if mutant else []
        if not self.over_flower:
            words += ["--sockets", *(str(self.gateway_socket(s)) for s in SILOS)]
        new = [
            str(self.directory / f"{name}.yaml"),
            f"--schema={self.directory / self._schema_file(name)}",
            f"--federation={NAME}",
        ]
        words += ["--", "run", *([f"--resume={resume}"] if resume else new), "--json", *options]
        return self.spawn(f"coordinator-{name}", words)

    def schema_of(self, plan: Plan) -> AnySchema:
        """Return the schema that a plan is for."""
        return families_schema() if plan.chosen.several_tables else self.schema

    def _schema_file(self, name: str) -> str:
        several = load_plan(self.directory / f"{name}.yaml").chosen.several_tables
        return "tables.yaml" if several else "schema.yaml"

    def outcome(self, name: str) -> dict[str, Any]:
        """Return what the coordinator of a plan said last."""
        out = (self.directory / f"coordinator-{name}.out").read_text()
        envelope: dict[str, Any] = json.loads(out.splitlines()[-1]) if out else {}
        return envelope

    def run_directory(self, name: str) -> Path:
        """Return the one run of a plan."""
        (found,) = (self.home / "runs").glob(f"{name}-*-*-*/run.json")
        return found.parent

    def mirror(self, silo: str) -> Path:
        """Return where a silo's mirror is."""
        return self.ledger(silo).with_name("ledger.mirror")

    def audit(self, silo: str) -> tuple[list[bytes], AuditSummary]:
        """Return a silo's entries and what they add up to: by its gateway, or without one."""
        with self.reading[silo]:
            return read_audit(self, silo)

    def write_table(self, silo: str) -> None:
        """Put tables in place whose values would be known anywhere."""
        pq.write_table(token_table(silo), self.table(silo))
        write_families(silo, self.table(silo).parent)
        for folder in (self.directory, self.table(silo).parent):
            (folder / "tables.yaml").write_text(dump_tables(families_schema()))

    def environment(self) -> dict[str, str]:
        """Keep temporary files where they are searched too."""
        return super().environment() | {"TMPDIR": str(self.directory / "tmp")}

    def _policy(self, silo: str, *, automatic: bool) -> str:
        text = super()._policy(silo, automatic=automatic).replace("epsilon = 20.0", BUDGET)
        budget = "budget = { epsilon = 1000.0, delta = 1e-6 }"
        several = families_section(families_schema(), budget=budget)
        text = text.replace("[[coordinators]]", several + "[[coordinators]]", 1)
        poor = text[text.index("[[projects]]") : text.index("[approval]")]
        poor = poor.replace('"default"', f'"{POOR}"').replace(BUDGET, "epsilon = 0.1")
        text = text.replace("[approval]", poor + "[approval]")
        if self.over_flower:
            text += f"[metrics]\nport = {self.gateway_metrics[silo]}\n"
        if silo == MIRRORED:
            text += f'[ledger]\nmirror = "{self.mirror(silo)}"\n'
        return text + '[logs]\nlevel = "debug"\n'
