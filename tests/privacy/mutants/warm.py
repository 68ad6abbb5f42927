"""A pytest that has collected tests, runs none, and forks whenever some are asked for.

The project is imported and the tests are collected once. A mutant that changes functions alone is
put in place in the child, in the modules that are imported.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any, TextIO

import pytest

from tests.privacy.mutants.child import STOPS, fork, fork_and_wait
from tests.privacy.mutants.swap import changed_functions, functions_of, swap


class Warm:
    """Own a process that has collected tests, and its ends of two pipes."""

    def __init__(self, *, options: Sequence[str], files: Sequence[str], output: str) -> None:
        """Fork it; ``files`` are those in which functions may be changed."""
        (read, asks), (says, write) = os.pipe(), os.pipe()
        with os.fdopen(read) as asked, os.fdopen(write, "w") as said:

            def collect() -> None:
                os.close(asks)
                os.close(says)
                pytest.main(["-s", *options], plugins=[_Loop(asked, said, files=files)])

            self._child = fork(collect, output=output)
        self._asks, self._says = os.fdopen(asks, "w"), os.fdopen(says)
        self._hear("ready")

    def run(self, asked: Mapping[str, Any]) -> None:
        """Run ``nodes`` with ``changes``: by path the text of a file and its other text.

        With ``stops`` up to the first claim that fails.
        """
        print(json.dumps(asked), file=self._asks, flush=True)
        self._hear("ended")

    def close(self) -> None:
        """Let it end."""
        self._asks.close()
        self._says.close()
        os.waitpid(self._child, 0)

    def _hear(self, word: str) -> None:
        if (said := self._says.readline().strip()) != word:
            raise EOFError(f"the process that collects tests said {said!r}")


class _Loop:
    """A plugin that stands in the place of pytest's loop over the tests."""

    def __init__(self, asked: TextIO, said: TextIO, *, files: Sequence[str]) -> None:
        self._asked, self._said, self._files = asked, said, files

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run tests as often as asked, each time in a child."""
        gc.unfreeze()  # what is frozen is not found
        live = functions_of(self._files)
        gc.collect()
        gc.freeze()
        print("ready", file=self._said, flush=True)
        for line in self._asked:
            asked = json.loads(line)
            fork_and_wait(lambda asked=asked: _run(session, asked, live), output=asked["output"])
            print("ended", file=self._said, flush=True)
        return True


def _run(
    session: pytest.Session, asked: Mapping[str, Any], live: Mapping[str, Sequence[FunctionType]]
) -> None:
    """Put the changes in place, and run tests; up to the first claim that fails, with any."""
    for path, (old, new) in asked["changes"].items():
        functions = changed_functions(old, new)
        assert functions is not None, f"{path} changes more than functions"
        swap(live[os.path.realpath(path)], functions)
    os.environ |= {STOPS: "yes"} if asked["stops"] else {}
    items = [i for i in session.items if any(belongs(i.nodeid, n) for n in asked["nodes"])]
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldstop:
            return


def belongs(node: str, named: str) -> bool:
    """Say whether a node is the named one, or a case of it."""
    return node == named or node.startswith((f"{named}[", f"{named}::"))
