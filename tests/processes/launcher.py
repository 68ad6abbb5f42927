"""Fork a federation's processes from one that has imported everything already.

Starting Python and importing Flower costs seconds, a fork costs milliseconds. Every child is a
process of its own with its own id, runs what the product's command runs, and dies with this one.
It reads lines of JSON: what to start. It answers with lines of JSON: what started, what ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from flwr.superlink.cli import flower_superlink

from silosynth.common.certificate import certify_plan
from silosynth.common.cli.app import build_app
from silosynth.common.plan import load_plan
from tests.processes import hurried, killable_coordinator, killable_gateway
from tests.support.remembered import remembered_epsilons

_POLL_SECONDS = 0.02


def superlink(arguments: Sequence[str]) -> None:
    """Run the SuperLink."""
    sys.argv = ["flower-superlink", *arguments]
    flower_superlink()


ENTRIES: dict[str, Callable[[Sequence[str]], None]] = {
    "gateway": killable_gateway.main,
    "coordinator": killable_coordinator.main,
    "superlink": superlink,
    "relay": hurried.run_relay,
}


def main() -> None:
    """Start what is asked for until there is nobody who asks; certify the named plans before."""
    build_app()
    with remembered_epsilons():
        for path in sys.argv[1:]:
            certify_plan(load_plan(Path(path)))
        _serve()


def _serve() -> None:
    """Fork, and tell what became of it."""
    pending = b""
    children: set[int] = set()
    while True:
        if select.select([0], [], [], _POLL_SECONDS)[0]:
            read = os.read(0, 1 << 16)
            if not read:
                break
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                pid = _start(json.loads(line))
                children.add(pid)
                _say({"started": pid})
        _reap(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _reap(children: set[int]) -> None:
    """Tell which children ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        children.discard(pid)
        _say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _start(asked: dict[str, str]) -> int:
    """Fork one process and return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        _redirect(asked["out"], asked["log"])
        os.chdir(asked["directory"])
        ENTRIES[asked["kind"]](asked["arguments"])
        code = 0
    except SystemExit as err:
        code = err.code if isinstance(err.code, int) else int(err.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(out: str, log: str) -> None:
    """Let a child read nothing and write to its own files."""
    for path, flags, descriptor in (
        (os.devnull, os.O_RDONLY, 0),
        (out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 1),
        (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 2),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)


def _say(fact: dict[str, int]) -> None:
    """Write one line."""
    os.write(1, json.dumps(fact).encode() + b"\n")


if __name__ == "__main__":
    main()
