"""Libraries that a gateway loads when it first looks at rows, and holds none of while it waits.

A gateway waits for weeks between two runs, and half of what it held then was Arrow.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from silosynth.common.errors import InvalidPolicy, SilosynthError
from silosynth.common.parents import end_with

POSTPONED = ("pyarrow", "pyarrow.compute", "pyarrow.csv", "pyarrow.parquet", "pyarrow.types")
_LOADING = threading.RLock()
_MOST_WORDS = 4_000
_FINE, _SAID_WHY = 0, 3


class _Later(ModuleType):
    """Stands for a module until something of it is used, and then has all that the module has."""

    def __getattr__(self, name: str) -> Any:
        # ``inspect`` asks every module for its file, and means none of them.
        if name == "__file__":
            raise AttributeError(name)
        with _LOADING:
            for other in POSTPONED:
                if isinstance(sys.modules.get(other), _Later):
                    del sys.modules[other]
            module = import_module(self.__name__)
            vars(self).update(vars(module))
        return getattr(module, name)


def postpone() -> None:
    """Let imports of the postponed libraries load nothing yet; call it before they are imported.

    Guarantees: what imports them afterwards finds all that is in them, at the first use.
    """
    if POSTPONED[0] in sys.modules:
        return
    for name in POSTPONED:
        sys.modules[name] = module = _Later(name)
        package, _, own = name.rpartition(".")
        if package:
            vars(sys.modules[package])[own] = module


def try_aside(work: Callable[[], None]) -> None:
    """Load what was postponed, and do ``work``, in a child that ends; raise what it raised there.

    So a gateway that waits knows that it can load what it counts with: as its own user, behind its
    own filters, before anything is charged. Call it while there is one thread.

    Raises InvalidPolicy in the words of what was raised.
    """
    parent = os.getpid()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _do_and_end(work, writing, parent=parent)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        words = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != _FINE:
        why = words if code == _SAID_WHY else f"it ended with code {code}"
        raise InvalidPolicy(
            f"this gateway could not count its tables: {why}",
            hint="run 'silosynth silo check' as the gateway's user",
        )


def _do_and_end(work: Callable[[], None], writing: int, *, parent: int) -> None:
    """Do ``work`` in the child, say what it raised, and end at once, without the parent's ends."""
    code = _FINE
    try:
        # A gateway that is killed now must not leave a child that holds its sockets.
        if not end_with(parent):
            return
        for name in POSTPONED:
            import_module(name)
        work()
    except SilosynthError as err:
        code = _say(writing, str(err))
    except BaseException as err:
        # An error of a library: its text may speak of anything, so its kind alone is told.
        missing = f" of {err.name}" if isinstance(err, ImportError) and err.name else ""
        code = _say(writing, f"{type(err).__name__}{missing}")
    finally:
        os._exit(code)


def _say(writing: int, words: str) -> int:
    """Write why the child failed, in less than a pipe holds."""
    os.write(writing, words.encode()[:_MOST_WORDS])
    return _SAID_WHY
