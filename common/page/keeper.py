"""Keep a page's address open at the cost of an idle interpreter, and start the page when asked.

The page itself takes tens of megabytes, and hardly anybody looks at it for days. So this process
holds the listening socket and what the page is told, and nothing else; it imports Python's own
modules alone.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

WORKER = "silosynth.common.page.worker"
_MOST_PAUSE_SECONDS = 60.0


def keep(listener: socket.socket, settings: bytes, *, worker: Sequence[str]) -> None:
    """Start the page whenever somebody asks for it; it ends by itself when nobody has for long.

    Returns when this process is told to end. Who asks while a page ends is answered by the next.
    """
    pause = 0.0
    with _Ending() as ending:
        while ending.asked(listener):
            begun = subprocess.Popen(
                [*worker, str(listener.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )
            code = ending.wait(begun, settings)
            pause = min(_MOST_PAUSE_SECONDS, 2 * pause or 1.0) if code else 0.0
            time.sleep(0.0 if ending.told else pause)


class _Ending:
    """Own what ends this process: a pipe that signals write to, and the page that runs."""

    def __init__(self) -> None:
        self.told = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Ending:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._read)
        os.close(self._write)

    def asked(self, listener: socket.socket) -> bool:
        """Wait until somebody connects; return False when this process is told to end."""
        if self.told:
            return False
        ready, _, _ = select.select([listener, self._read], [], [])
        return not self.told and listener in ready

    def wait(self, worker: subprocess.Popen[bytes], settings: bytes) -> int:
        """Tell a page its settings, and wait for its end; end it when we are told to end."""
        self._worker = worker
        if worker.stdin is not None:
            try:
                worker.stdin.write(settings)
                worker.stdin.close()
            except BrokenPipeError:
                pass  # it could not start, and says why itself
        if self.told:
            worker.terminate()
        code = worker.wait()
        self._worker = None
        return code

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self.told = True
        os.write(self._write, b"!")
        if self._worker is not None and self._worker.poll() is None:
            self._worker.terminate()


def main() -> None:
    """Keep the page of ``LISTENER SETTINGS``, two descriptors that were inherited."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.setblocking(False)
    with open(int(sys.argv[2]), "rb") as file:
        settings = file.read()
    keep(listener, settings, worker=(sys.executable, "-m", WORKER))


if __name__ == "__main__":
    main()
