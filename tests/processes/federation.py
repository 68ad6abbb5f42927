"""A federation of real processes on loopback: start, stop, kill and restart any of them.

    federation = Federation(directory)           certificates, tables, policies, plan
    federation.start()                           SuperLink, gateways, relays with their SuperNodes
    done = federation.run()                      the coordinator, to its end
    federation.kill("gateway-north"); federation.start_gateway("north")

Every process is stopped by its own id, and dies with the test process whatever happens.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow.parquet as pq

from silosynth.client.desk import Command, Question, open_desk
from silosynth.client.ledger import Ledger
from silosynth.client.policy import load_policy
from silosynth.client.rpc import is_serving
from silosynth.common.audit import verify_audit
from silosynth.common.audit.audit import AuditSummary
from silosynth.common.document import load_document
from silosynth.common.plan import Plan, dump_plan
from silosynth.common.reach import free_port
from silosynth.common.schema import dump_schema
from silosynth.common.trust import Purpose, unseal
from silosynth.server.federation import Federation as Connection
from silosynth.server.federation import (
    add_federation,
    admit_nodes,
    find_federation,
    list_nodes,
    load_roster,
    make_certs,
    with_roster,
)
from silosynth.server.federation.certs import Certs
from silosynth.server.planning import new_plan
from tests.processes.silo_tables import SILOS, federation_schema, silo_table
from tests.support.command_line import COMMAND
from tests.support.deploy_commands import unit_command
from tests.support.patience import patience

NAME = "loopback"
HERE = Path(__file__).parent
START_SECONDS = 90.0
ROOT = os.geteuid() == 0
GATEWAY_USER = "nobody"


def federation_plan(certs: Certs, **changes: Any) -> Plan:
    """Return a plan with the silos' keys."""
    arguments: dict[str, Any] = {
        "epsilon": 5.0,
        "delta": 1e-6,
        "silos": SILOS,
        "plan_id": "p",
        "method": "mst",
    }
    plan = new_plan(federation_schema(), **(arguments | changes))
    roster = load_roster(certs.roster)
    return with_roster(plan, roster)


def give_to_gateway(directory: Path) -> None:
    """Give a silo's files to the user that its gateway becomes when root starts it."""
    if ROOT:
        user = pwd.getpwnam(GATEWAY_USER)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def read_audit(federation: Federation, silo: str) -> tuple[list[bytes], AuditSummary]:
    """Return a silo's entries and what they add up to: by its gateway, or without one."""
    with open_desk(load_policy(federation.policy(silo))) as ask:
        answer = ask(Question(command=Command.EXPORT))
    sealed = base64.b64decode(answer["audit"])
    body = unseal(sealed, purpose=Purpose.AUDIT, trusted={answer["key"]}).body
    return body.splitlines()[1:], verify_audit(body)


def wait_for(
    what: str,
    ready: Callable[[], bool],
    *,
    seconds: float = START_SECONDS,
    every_seconds: float = 0.02,
) -> None:
    """Return once ``ready``; raise TimeoutError naming ``what``."""
    deadline = time.monotonic() + patience(seconds)
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(every_seconds)
    raise TimeoutError(f"{what} was not ready within {patience(seconds):.0f} s")


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Federation:
    """Own a directory and the processes that were started in it."""

    def __init__(self, directory: Path, *, automatic: bool = True, **plan_changes: Any) -> None:
        """Write everything that the processes read; start nothing."""
        self.directory = directory
        directory.chmod(0o711)  # gateways run as another user
        self.home = directory / "home"
        self.port = free_port()
        self.certs = make_certs(directory / "certs", silos=SILOS, hosts=("localhost", "127.0.0.1"))
        self.schema = federation_schema()
        self.plan = federation_plan(self.certs, **plan_changes)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.relay_metrics: dict[str, int] = {}
        self.connection = Connection(
            superlink=f"127.0.0.1:{self.port}",
            ca=self.certs.ca,
            identity=self.certs.identity,
            superexec_secret=self.certs.secret,
        )
        add_federation(self.home, NAME, self.connection)
        self.write_plan(self.plan)
        (directory / "schema.yaml").write_text(dump_schema(self.schema))
        for silo in SILOS:
            self._write_silo(silo, automatic=automatic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def write_table(self, silo: str) -> None:
        """Put a silo's table in place."""
        pq.write_table(silo_table(silo), self.table(silo))

    def write_plan(self, plan: Plan) -> None:
        """Put another plan in place."""
        self.plan = plan
        (self.directory / "plan.yaml").write_text(dump_plan(plan))

    def start(self) -> None:
        """Start everything, and return once every SuperNode is online."""
        self.start_superlink()
        self.admit()
        for silo in SILOS:
            self.start_gateway(silo)
            self.start_relay(silo)
        self.wait_online(SILOS)

    def start_superlink(self) -> None:
        """Start the SuperLink by the command of its systemd unit; return once it listens."""
        state = self.directory / "superlink"
        state.mkdir(exist_ok=True)
        values = {
            "0.0.0.0": "127.0.0.1",
            "9092": str(self.port),
            "/etc/silosynth/ca.pem": str(self.certs.ca),
            "/etc/silosynth/coordinator": str(self.certs.identity.parent),
            "/var/lib/silosynth-superlink": str(state),
        }
        self.spawn("superlink", unit_command("silosynth-superlink.service", values))
        wait_for("the SuperLink", lambda: self._listens(self.port))

    def admit(self) -> None:
        """Let the SuperNodes connect."""
        keys = {s: self.certs.silo(s) / "supernode.pub" for s in SILOS}
        admit_nodes(find_federation(self.home, NAME), keys)

    def start_gateway(self, silo: str) -> None:
        """Start a gateway with seeded bits, and return once its socket is there."""
        path = self.gateway_socket(silo)
        path.unlink(missing_ok=True)
        command = [sys.executable, str(HERE / "gateway_main.py"), str(self.policy(silo))]
        command += [f"--seed={SILOS.index(silo)}", f"--plan={self.directory / 'plan.yaml'}"]
        self.spawn(f"gateway-{silo}", command)
        wait_for(f"the gateway of {silo}", path.is_socket)

    def start_product_gateway(self, silo: str) -> None:
        """Start a gateway as the product's command does, with nothing put in its place.

        Under root it is started as its user: an interpreter in root's home is closed to one who
        becomes another.
        """
        self.directory.chmod(0o777)
        path = self.gateway_socket(silo)
        path.unlink(missing_ok=True)
        words = ["-m", "silosynth.client.serving.process", "--policy", str(self.policy(silo))]
        user = ["setpriv", f"--reuid={GATEWAY_USER}", "--clear-groups"] if ROOT else []
        self.spawn(f"gateway-{silo}", [*user, sys.executable, *words])
        wait_for(f"the gateway of {silo}", lambda: is_serving(path))

    def start_relay(self, silo: str, *, ca: Path | None = None, key: Path | None = None) -> None:
        """Start a relay and its SuperNode by the command of their systemd unit.

        They go on trying until the SuperLink is there.
        """
        values = {
            "${SUPERLINK}": self.superlink_address(),
            "${SILO}": silo,
            "9464": str(self.relay_metrics.get(silo, 0)),
            "/etc/silosynth/ca.pem": str(ca or self.certs.ca),
            "/etc/silosynth/relay/supernode.pem": str(
                key or self.certs.silo(silo) / "supernode.pem"
            ),
            "/run/silosynth/gateway.sock": str(self.gateway_socket(silo)),
        }
        self.spawn(f"relay-{silo}", unit_command("silosynth-relay.service", values))

    def superlink_address(self) -> str:
        """Return where relays find the SuperLink."""
        return f"127.0.0.1:{self.port}"

    def wait_online(self, silos: Sequence[str]) -> None:
        """Return once these silos' SuperNodes are online."""
        connection = find_federation(self.home, NAME)

        def online() -> bool:
            nodes = list_nodes(connection)
            return all(nodes[silo] == "online" for silo in silos)

        wait_for("a SuperNode", online, every_seconds=0.2)

    def start_coordinator(self) -> subprocess.Popen[bytes]:
        """Start a coordinator and return at once."""
        words = [
            str(self.directory / "plan.yaml"),
            f"--schema={self.directory / 'schema.yaml'}",
            f"--federation={NAME}",
        ]
        return self.spawn("coordinator", [*COMMAND, "run", *words, "--json"])

    def run(self, *, seconds: float = 300.0) -> dict[str, Any]:
        """Run to the end; return the JSON envelope and the exit code in it, or the code alone."""
        code = self.start_coordinator().wait(timeout=patience(seconds))
        out = (self.directory / "coordinator.out").read_text()
        envelope: dict[str, Any] = json.loads(out.splitlines()[-1]) if out else {}
        return envelope | {"exit_code": code}

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command of the coordinator."""
        return subprocess.run(
            [*COMMAND, *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=patience(60),
            check=False,
        )

    def spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a process whose output goes to NAME.out and NAME.log."""
        with (
            (self.directory / f"{name}.out").open("wb") as out,
            (self.directory / f"{name}.log").open("ab") as log,
        ):
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                preexec_fn=_end_with_parent,
            )
        self.processes[name] = process
        return process

    def environment(self) -> dict[str, str]:
        """Return the environment of every process: Flower keeps its files here and tells nobody."""
        return os.environ | {
            "SILOSYNTH_HOME": str(self.home),
            "FLWR_HOME": str(self.directory / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
        }

    def stop(self, name: str) -> None:
        """Stop a process as its service manager would."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(timeout=patience(15))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL; a relay takes its SuperNode with it."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def log(self, name: str) -> str:
        """Return what a process has written to stderr."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def table(self, silo: str) -> Path:
        """Return the path of a silo's table."""
        return self.directory / silo / "table.parquet"

    def policy(self, silo: str) -> Path:
        """Return the path of a silo's policy."""
        return self.directory / silo / "policy.toml"

    def gateway_socket(self, silo: str) -> Path:
        """Return the path of a gateway's socket."""
        return self.directory / f"{silo}.sock"

    def ledger(self, silo: str) -> Path:
        """Return the path of a silo's ledger."""
        return self.directory / silo / "state" / "ledger.sqlite"

    def _listens(self, port: int) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def _write_silo(self, silo: str, *, automatic: bool) -> None:
        """Write a silo's table, key, secret, policy and empty ledger."""
        place = self.directory / silo
        (place / "state").mkdir(parents=True, mode=0o700)
        place.chmod(0o700)
        self.write_table(silo)
        (place / "schema.yaml").write_text(dump_schema(self.schema))
        shutil.copy(self.certs.silo(silo) / "identity.pem", place / "identity.pem")
        secret = place / "persons.secret"
        secret.touch(mode=0o600)
        secret.write_bytes(secrets.token_bytes(32))
        self.policy(silo).write_text(self._policy(silo, automatic=automatic))
        Ledger.create(self.ledger(silo))
        give_to_gateway(place)

    def _policy(self, silo: str, *, automatic: bool) -> str:
        roster = load_document(self.certs.roster)
        keys = "\n".join(f'{name} = "{key}"' for name, key in roster["silos"].items())
        budget = "budget = { epsilon = 20.0, delta = 1e-6 }"
        approval = (
            "automatic = true\nmax_epsilon = 10.0\nmax_delta = 1e-5\n"
            'methods = ["independent", "mst", "aim", "fixed", "dp-sgd", "families", "evaluate"]'
        )
        return f"""version = 1
[silo]
name = "{silo}"
{f'run_as = "{GATEWAY_USER}"' if ROOT else ""}
key = "identity.pem"
persons_secret = "persons.secret"
directory = "state"
[[datasets]]
name = "default"
person_column = "who"
format = "parquet"
path = "table.parquet"
schema = "schema.yaml"
schema_digest = "{self.schema.digest}"
{budget}
[[coordinators]]
name = "coordinator"
key = "{roster["coordinator"]}"
{budget}
[[projects]]
name = "default"
{budget}
[projects.roster]
{keys}
[approval]
{approval if automatic else "automatic = false"}
[relay]
socket = "{self.gateway_socket(silo)}"
users = ["{pwd.getpwuid(os.geteuid()).pw_name}"]
"""
