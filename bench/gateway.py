"""A silo's gateway as a process: charges, a large request, memory while it waits, a whole run.

    make bench-gateway

prints a table, writes bench/results/gateway.json, and exits with 1 when a gate is missed. QUICK=1
takes fewer rows. The request is the 105 pairs of 15 columns over 1,000,000 rows; it goes through
the front door, gRPC, signatures, policy and ledger of a real process, with the table read before.
Beside it stand the bare count and the bare noise of the very same codes and marginals, in turns
with it. Overhead is what the request takes beyond those two.
"""

from __future__ import annotations

import os
import pwd
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w
from gateway_charges import charge_figures
from gateway_run import run_figures
from process_tree import tree_bytes
from results import Figure, is_quick, publish

from silosynth.client.count import count_marginals
from silosynth.client.init_silo import init_silo
from silosynth.client.noise import SystemBits, discrete_gaussian
from silosynth.client.operator_rpc import relay_socket
from silosynth.client.policy_file import load_policy
from silosynth.client.policy_template import NewSilo
from silosynth.client.rpc import RemoteGateway
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery
from silosynth.common.plan import PhaseName, Plan, Request, encode_plan, encode_request, parse_plan
from silosynth.common.roster import Purpose, SigningKey
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.common.seal import seal
from silosynth.common.wire import Release, decode_release
from silosynth.server.planner import new_plan

COLUMNS = 15
ROWS = 100_000 if is_quick() else 1_000_000
REPEATS = 3 if is_quick() else 7
SIZES = tuple(4 + 2 * (i % 8) for i in range(COLUMNS))
USER = "nobody"
LATE_IMPORTS_FIRST = Path(__file__).resolve().parent.parent / "tests/client/serve_main.py"
"""Under root the gateway becomes another user, who may not be able to read this interpreter."""

QUERIES = tuple((pair, "fine") for pair in combinations([f"c{i}" for i in range(COLUMNS)], 2))


def make_schema() -> Schema:
    """Return a schema of 15 categorical columns of 4 to 18 codes."""
    attributes = [
        {
            "name": f"c{i}",
            "kind": "categorical",
            "other": False,
            "source": "public",
            "categories": [f"v{code}" for code in range(size - 1)],
        }
        for i, size in enumerate(SIZES)
    ]
    return parse_schema({"name": "bench", "attributes": attributes})


def make_codes() -> list[np.ndarray]:
    """Return random codes, the same at every run."""
    random = np.random.default_rng(0)
    return [random.integers(0, size - 1, ROWS, dtype=np.uint8) for size in SIZES]


class BenchSilo:
    """A silo with a real gateway process, and plans for it that are approved by its policy."""

    def __init__(self, home: Path) -> None:
        self.hub = SigningKey.generate()
        self.schema = make_schema()
        self.codes = make_codes()
        home.chmod(0o755)
        schema, table = home / "schema.yaml", home / "table.parquet"
        schema.write_text(dump_schema(self.schema))
        columns = {
            f"c{i}": pa.DictionaryArray.from_arrays(
                pa.array(codes.astype(np.int32)), [f"v{c}" for c in range(SIZES[i] - 1)]
            )
            for i, codes in enumerate(self.codes)
        }
        pq.write_table(pa.table(columns), table)
        new = NewSilo(
            name="north",
            schema=schema,
            table=table,
            epsilon=500.0,
            coordinators={"hub": self.hub.public},
        )
        self.policy = init_silo(home / "north", new).policy
        self._write_policy(home)
        self._log = home / "log"
        self.key = load_policy(self.policy).projects[0].roster["north"]
        self.gateway = RemoteGateway(relay_socket(load_policy(self.policy)), timeout_seconds=300)

    @contextmanager
    def serve(self, *program: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the gateway, ready to answer, until the block ends."""
        with self._log.open("ab") as log:
            command = [sys.executable, *program, "--policy", str(self.policy)]
            process = subprocess.Popen(command, stderr=log)
        try:
            self.gateway.identify(bytes(32))
            yield process
        finally:
            process.terminate()
            process.wait(60)

    def _write_policy(self, home: Path) -> None:
        """Let plans be automatic, and give the files to the gateway's user."""
        data: dict[str, Any] = load_policy(self.policy).model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        data["approval"] = {
            "automatic": True,
            "max_epsilon": 400.0,
            "max_delta": 1e-3,
            "methods": ["fixed"],
        }
        for section in (*data["coordinators"], *data["projects"]):
            section["budget"] = {"epsilon": 500.0, "delta": 1e-6}
        if os.geteuid() == 0:
            data["silo"]["run_as"] = USER
            user = pwd.getpwnam(USER).pw_uid
            for path in (home / "north", *(home / "north").rglob("*")):
                os.chown(path, user, -1)
        self.policy.write_text(tomli_w.dumps(data))

    def plan(self, name: str) -> Plan:
        """Return a plan that asks for every pair once."""
        plan = new_plan(
            self.schema,
            epsilon=1.0,
            delta=1e-6,
            silos=("north",),
            method="fixed",
            workload=[pair for pair, _ in QUERIES],
            plan_id=name,
        )
        roster = {"roster": {"north": self.key}}
        return parse_plan(plan.model_dump(mode="json") | roster)

    def ask(self, name: str) -> float:
        """Return the seconds that a new request for all pairs takes."""
        plan = self.plan(name)
        sealed = seal(encode_plan(plan), purpose=Purpose.PLAN, key=self.hub)
        phase = next(p for p in plan.phases if p.marginals >= len(QUERIES))
        request = Request(
            plan_digest=plan.digest, phase=PhaseName(phase.name), silo="north", queries=QUERIES
        )
        data = seal(encode_request(request), purpose=Purpose.REQUEST, key=self.hub)
        self.gateway.propose(plan=sealed)
        start = time.perf_counter()
        answer = self.gateway.answer(plan=sealed, request=data)
        seconds = time.perf_counter() - start
        release = decode_release(answer, trusted={self.key})
        if not isinstance(release, Release):
            raise SystemExit(f"the gateway refused: {release}")
        return seconds


def bare(silo: BenchSilo) -> float:
    """Return the seconds of the count and the noise alone, of the same codes and marginals."""
    queries = tuple(MarginalQuery(clique=pair, level=level) for pair, level in QUERIES)
    plan = silo.plan("bare")
    sigma2: Fraction = next(p for p in plan.phases if p.marginals >= len(QUERIES)).sigma2
    levels = {"fine": Grouping()}
    start = time.perf_counter()
    counts = count_marginals(silo.codes, domain=silo.schema.domain, queries=queries, levels=levels)
    discrete_gaussian(sigma2=sigma2, count=sum(len(c) for c in counts), bits=SystemBits())
    return time.perf_counter() - start


def measure(directory: Path) -> list[Figure]:
    """Measure one silo."""
    with tempfile.TemporaryDirectory(prefix="gw-", dir=directory) as name:
        silo = BenchSilo(Path(name))
        with silo.serve("-m", "silosynth.client.serve") as process:
            idle = tree_bytes(process.pid) / 2**20
        asked, alone = [], []
        with silo.serve(str(LATE_IMPORTS_FIRST)):
            silo.ask("first")
            for i in range(REPEATS):
                alone.append(bare(silo))
                asked.append(silo.ask(f"p{i}"))
        silo.gateway.close()
        return [*_latency(asked, alone), _memory(idle)]


def _latency(asked: list[float], alone: list[float]) -> list[Figure]:
    """Return the request's time beside the bare work, by medians."""
    overhead = statistics.median(asked) / statistics.median(alone) - 1
    title = f"{len(QUERIES)} marginals of {ROWS:,} rows"
    return [
        Figure(
            figure=f"{title}, through the gateway",
            value=1000 * statistics.median(asked),
            spread=500 * (max(asked) - min(asked)),
            peer=1000 * statistics.median(alone),
            unit="ms",
        ),
        Figure(
            figure="overhead over the bare count and noise",
            value=100 * overhead,
            unit="%",
            at_most=None if is_quick() else 10.0,
        ),
    ]


def _memory(idle: float) -> Figure:
    return Figure(figure="resident memory of a gateway that waits", value=idle, unit="MiB")


def main() -> int:
    """Measure everything and publish it."""
    here = Path(__file__).resolve().parent
    figures = [*charge_figures(here), *measure(Path(tempfile.gettempdir())), *run_figures()]
    return publish("gateway", figures)


if __name__ == "__main__":
    sys.exit(main())
