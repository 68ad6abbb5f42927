"""Fork small programs from a process that has imported the modules which the words name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from silosynth.simulations.real_time.forks import fork_as_asked


def run(words: Sequence[str]) -> None:
    """Run a program's text as a script is run."""
    exec(compile(words[0], "<program>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    for name in sys.argv[1:]:
        importlib.import_module(name)
    fork_as_asked({"program": run})
