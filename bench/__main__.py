"""Run a benchmark by its name: ``python -m bench fit``, or ``gateway-charges`` within a room."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent


def module_of(name: str) -> str:
    """Return the module of a benchmark: a room of its name, or a module of a room.

    A module is named alone where no other room has one of that name, or behind its room.
    Raises SystemExit where there is none.
    """
    wanted = name.replace("-", "_")
    if (BENCH / wanted / "__main__.py").exists():
        return f"bench.{wanted}"
    found = {
        f"bench.{path.parent.name}.{path.stem}"
        for path in sorted(BENCH.glob("*/*.py"))
        if wanted in (path.stem, f"{path.parent.name}_{path.stem}")
    }
    if len(found) != 1:
        raise SystemExit(f"{len(found)} benchmarks are called {name!r}; see bench/README.md")
    return found.pop()


def main() -> None:
    """Run the benchmark that is named first, with the other arguments."""
    if len(sys.argv) < 2:
        raise SystemExit("name a benchmark; see bench/README.md")
    _, name, *sys.argv[1:] = sys.argv
    runpy.run_module(module_of(name), run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
