"""A silo with a real gateway process for the benchmark: its table, its policy, and requests to it.

The table has 15 columns of 4 to 18 codes; a request asks for all 105 pairs.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from silosynth.client.desk import relay_socket
from silosynth.client.policy import NewSilo, load_policy
from silosynth.client.rpc import RemoteGateway
from silosynth.client.silo import init_silo
from silosynth.common.messages import Release, Request, decode_release, encode_request
from silosynth.common.plan import Phase, PhaseName, Plan, encode_plan, parse_plan
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.common.trust import Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.server.planning import new_plan

COLUMNS = 15
SIZES = tuple(4 + 2 * (i % 8) for i in range(COLUMNS))
USER = "nobody"
MAIN = Path(__file__).with_name("serve.py")

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


def make_codes(rows: int) -> list[np.ndarray]:
    """Return random codes, the same at every run."""
    random = np.random.default_rng(0)
    return [random.integers(0, size - 1, rows, dtype=np.uint8) for size in SIZES]


class BenchSilo:
    """A silo with a real gateway process, and plans for it that are approved by its policy."""

    def __init__(self, home: Path, *, rows: int) -> None:
        self.hub = SigningKey.generate()
        self.schema = make_schema()
        self.codes = make_codes(rows)
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

    def question(self, name: str) -> tuple[bytes, bytes]:
        """Return a new plan and its request for all pairs, sealed; the silo has approved the plan.

        The names of plans never come again.
        """
        plan = self.plan(name)
        sealed = seal(encode_plan(plan), purpose=Purpose.PLAN, key=self.hub)
        phase = asked_phase(plan)
        request = Request(
            plan_digest=plan.digest, phase=PhaseName(phase.name), silo="north", queries=QUERIES
        )
        self.gateway.propose(plan=sealed)
        return sealed, seal(encode_request(request), purpose=Purpose.REQUEST, key=self.hub)

    def ask(self, plan: bytes, request: bytes) -> tuple[float, bytes]:
        """Return the seconds that a request takes, and its release."""
        start = time.perf_counter()
        answer = self.gateway.answer(plan=plan, request=request)
        seconds = time.perf_counter() - start
        release = decode_release(answer, trusted={self.key})
        if not isinstance(release, Release):
            raise SystemExit(f"the gateway refused: {release}")
        return seconds, answer


def asked_phase(plan: Plan) -> Phase:
    """Return the phase that asks for all pairs."""
    return next(p for p in plan.phases if p.marginals >= len(QUERIES))
