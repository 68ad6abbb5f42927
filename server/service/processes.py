"""One process for each run: what one run takes or breaks, no other one feels."""

from __future__ import annotations

import signal
import subprocess
import sys

from silosynth.common.errors import InvalidArgument
from silosynth.server.federation import RunFiles

_LEAVE_SECONDS = 60.0


class RunProcess:
    """Own the process that pumps one run."""

    def __init__(self, words: tuple[str, ...]) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def ended(self) -> int | None:
        """Return how it ended; None while it runs."""
        return self._process.poll()

    def tell(self) -> None:
        """Ask it to stop where its run can go on, as Ctrl-C does."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Wait until it has stopped; end it when that takes too long."""
        self.tell()
        try:
            self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def take_up(run: RunFiles) -> RunProcess:
    """Start the process that pumps a run from where it stands."""
    if run.id.startswith("-"):
        raise InvalidArgument(f"{run.id!r} is no id of a run")
    words = ("-m", "silosynth.common.cli", "run", "--resume", run.id, "--json-logs")
    return RunProcess((sys.executable, *words))
