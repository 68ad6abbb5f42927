"""A federation whose processes are forked from one launcher, which has imported everything.

It is a :class:`~tests.processes.federation.Federation` otherwise: processes of their own that run
what the product's commands run. How the commands themselves start is looked at in
``test_federation.py``, once of each kind.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from silosynth.simulations.real_time.forked import Forked, Launcher
from tests.processes.federation import HERE, Federation
from tests.support.command_line import COMMAND
from tests.support.patience import patience

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Warm(Federation):
    """Own the launcher; everything that is started is forked from it."""

    @cached_property
    def launcher(self) -> Launcher:
        """Return the launcher, which certifies the plans of this kind before it forks."""
        return Launcher(
            "tests.processes.launcher",
            environment=self.environment() | ONE_THREAD,
            log=self.directory / "launcher.log",
            words=[str(path) for path in self.certified()],
            directory=HERE.parents[1],
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, value, trace)
        if "launcher" in vars(self):
            self.launcher.close()

    def certified(self) -> Sequence[Path]:
        """Return the files of plans whose certificates the launcher works out for all."""
        return (self.directory / "plan.yaml",)

    def spawn(self, name: str, command: Sequence[str]) -> Forked:  # type: ignore[override]  # as much as is used
        """Fork a process of the kind that its name begins with."""
        kind = name.partition("-")[0]
        words = list(command)
        if kind == "superlink":
            words = words[1:]
        elif kind == "relay":
            words = words[words.index("relay") :]
        elif words[: len(COMMAND)] == [*COMMAND]:
            kind, words = "command", words[len(COMMAND) :]
        elif str(HERE / "gateway_main.py") in words:
            kind, words = "seeded", words[2:]
        process = self.launcher.start(
            kind,
            words,
            directory=str(self.directory),
            out=str(self.directory / f"{name}.out"),
            log=str(self.directory / f"{name}.log"),
        )
        self.processes[name] = process  # type: ignore[assignment]  # as above
        return process


class Begun(Warm):
    """Starts the first process of each kind by its own command, and forks the others."""

    def __init__(self, directory: Path, **named: Any) -> None:
        self._begun: set[str] = set()
        super().__init__(directory, **named)

    def spawn(self, name: str, command: Sequence[str]) -> Any:
        """Start a process."""
        kind = name.partition("-")[0]
        if kind in self._begun:
            return super().spawn(name, command)
        self._begun.add(kind)
        return Federation.spawn(self, name, command)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command of the coordinator."""
        out, log = self.directory / "command.out", self.directory / "command.log"
        log.unlink(missing_ok=True)
        process = self.launcher.start(
            "command", words, directory=str(Path.cwd()), out=str(out), log=str(log)
        )
        code = process.wait(timeout=patience(60))
        return subprocess.CompletedProcess(words, code, out.read_text(), log.read_text())
