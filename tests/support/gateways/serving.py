"""A real gateway process over a federation of :mod:`signed`; under root each has its own user."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tomli_w

from silosynth.client.desk import operator_socket, relay_socket
from silosynth.client.policy import load_policy
from silosynth.client.rpc import RemoteGateway
from silosynth.simulations.real_time.forked import Forked, Launcher
from tests.support.gateways.signed import Federation
from tests.support.patience import patience

AS_ROOT = os.geteuid() == 0
GATEWAY_USER, RELAY_USER, STRANGER = "nobody", "daemon", "bin"
WAIT_SECONDS = 60.0
ROOT = Path(__file__).parents[3]
MAIN = "tests.support.gateways.serve_main"
"""The module of a gateway for tests; it is run from :data:`ROOT`."""


@cache
def _launcher() -> Launcher:
    """Start what forks this process's gateways, once."""
    folder = tempfile.TemporaryDirectory(prefix="gateways-")
    atexit.register(folder.cleanup)
    started = Launcher(
        "tests.support.gateways.launcher",
        environment=os.environ,
        log=Path(folder.name) / "launcher.log",
        directory=ROOT,
    )
    atexit.register(started.close)
    return started


@dataclass(kw_only=True)
class Serving:
    """One silo's gateway as a process, started and stopped by its own id.

    Under root it becomes a user of its own, and another one owns the relay's socket.
    """

    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    change: Callable[[Federation], None] = lambda _: None
    main: str = MAIN
    federation: Federation = field(init=False)
    process: subprocess.Popen[bytes] | Forked | None = field(init=False, default=None)
    home: Path = field(init=False)
    _before: int = field(init=False, default=0)

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="silo-"))
        self.home.chmod(0o755)
        self.federation = Federation(directory=self.home)
        self.change(self.federation)
        run = self.home / "run"
        run.mkdir(mode=0o755)
        self.federation.change(relay={"socket": str(run / "g.sock")}, **self.extra)
        if AS_ROOT:
            self.federation.change(silo={"run_as": GATEWAY_USER}, relay={"users": [RELAY_USER]})
        self.write_policy()
        self.give_away()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def policy(self) -> Path:
        return self.home / "north" / "silo.toml"

    @property
    def relay(self) -> Path:
        return relay_socket(load_policy(self.policy))

    @property
    def operator(self) -> Path:
        return operator_socket(load_policy(self.policy))

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    def write_policy(self) -> None:
        """Write the federation's policy where the process reads it."""
        data = self.federation.policy.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.policy.write_text(tomli_w.dumps(data))

    def give_away(self) -> None:
        """Give what is the gateway's to the gateway's user."""
        if AS_ROOT:
            user = pwd.getpwnam(GATEWAY_USER)
            table = self.home / "people.parquet"
            table.chmod(0o600)
            for path in (table, *[self.home / "north", *(self.home / "north").rglob("*")]):
                os.chown(path, user.pw_uid, user.pw_gid)

    def start(self, *, command: Sequence[str] = (), **options: Any) -> None:
        """Start the process and wait until it answers; without a command of its own it is forked.

        The log is forgotten by nobody: what is written goes after what stands there.
        """
        with (self.home / "log").open("ab") as log:
            self._before = log.tell()
            if command:
                self.process = subprocess.Popen(
                    command, cwd=ROOT, stdout=log, stderr=log, **options
                )
            else:
                self.process = self.fork("--policy", str(self.policy), log=log.name, **options)
        end = time.monotonic() + patience(WAIT_SECONDS)
        while not self._answers():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, "the gateway did not start in time"
            time.sleep(0.05)

    def fork(self, *words: str, log: str, env: Mapping[str, str] | None = None) -> Forked:
        """Fork a gateway's process, with these words of its command line."""
        return _launcher().start(
            self.main, words, directory=str(ROOT), out=log, log=log, environment=env
        )

    def stop(self) -> int:
        """End the process as systemd would; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience(WAIT_SECONDS))

    def kill(self) -> None:
        """Kill the process."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(patience(WAIT_SECONDS))

    def gateway(self) -> RemoteGateway:
        """Return the gateway as a relay sees it."""
        return RemoteGateway(self.relay, timeout_seconds=patience(WAIT_SECONDS))

    def _answers(self) -> bool:
        """Say whether this start of the process has said that it serves."""
        said = self.log[self._before :]
        return '"serving"' in said or " serving " in said
