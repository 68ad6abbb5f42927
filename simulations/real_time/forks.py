"""Fork processes from one that has imported everything already; :mod:`forked` is who asks.

Starting Python and importing what a process needs costs seconds, a fork costs milliseconds. Every
child is a process of its own with its own id, runs what the product's command runs, and dies with
this one. Lines of JSON come in: what to start. Lines of JSON go out: what started, what ended.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Entry = Callable[[Sequence[str]], int | None]
"""What a child runs, with its arguments; it may return an exit code."""

_POLL_SECONDS = 0.02


def fork_as_asked(entries: Mapping[str, Entry]) -> None:
    """Fork, and tell what became of it, until there is nobody who asks."""
    gc.collect()
    gc.freeze()
    pending = b""
    children: set[int] = set()
    while True:
        if select.select([0], [], [], _POLL_SECONDS)[0]:
            read = os.read(0, 1 << 16)
            if not read:
                break
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                pid = _start(json.loads(line), entries)
                children.add(pid)
                _say({"started": pid})
        _reap(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:  # who sees this process end sees none of them run
        os.waitpid(pid, 0)


def _reap(children: set[int]) -> None:
    """Tell which children ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        children.discard(pid)
        _say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _start(asked: dict[str, Any], entries: Mapping[str, Entry]) -> int:
    """Fork one process and return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        _redirect(asked["out"], asked["log"])
        os.chdir(asked["directory"])
        if asked.get("environment") is not None:
            os.environ.clear()
            os.environ.update(asked["environment"])
        code = entries[asked["kind"]](asked["arguments"]) or 0
    except SystemExit as err:
        code = err.code if isinstance(err.code, int) else int(err.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(out: str, log: str) -> None:
    """Let a child read nothing and write to its own files; both may be one."""
    kept = os.O_APPEND if out == log else os.O_TRUNC
    for path, flags, descriptor in (
        (os.devnull, os.O_RDONLY, 0),
        (out, os.O_WRONLY | os.O_CREAT | kept, 1),
        (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 2),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)


def _say(fact: dict[str, int]) -> None:
    """Write one line."""
    os.write(1, json.dumps(fact).encode() + b"\n")
