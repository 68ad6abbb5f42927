"""A federation whose processes are forked from one launcher, which has imported everything.

It is a :class:`~tests.processes.federation.Federation` otherwise: processes of their own that run
what the product's commands run. How the commands themselves start is looked at in
``test_federation.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType

from silosynth.simulations.real_time.forked import Forked, Launcher
from tests.processes.federation import HERE, Federation
from tests.support.command_line import COMMAND

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
