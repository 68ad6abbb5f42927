"""Families of persons: how near drawn ones are to real ones, and what it takes.

``make bench-families`` measures all, ``python -m bench families CASE...`` some: each case writes
its figures when it is done, beside those of the others, and runs that were done before are not
done again until their code changes. ``QUICK=1`` takes 4,000 patients, 2,000 made-up people, one
seed and one epsilon, without gates.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial

from bench.families.accuracy import RUNS, beside, hma, run_case
from bench.families.counting import counting
from bench.families.gaps import CASE as GAPS
from bench.families.gaps import gaps
from bench.families.levels import MADE_UP, OMOP, STAYS, levels
from bench.families.omop import is_there
from bench.support.results import is_quick

STEPS: Mapping[str, Callable[[], int]] = {
    "counting": counting,
    "diabetes130-beside": partial(beside, "diabetes130"),
    "flights-beside": partial(beside, "flights"),
    **{name: partial(run_case, name) for name in RUNS},
    "levels": partial(levels, MADE_UP),
    "levels-diabetes130": partial(levels, STAYS),
    "levels-omop": partial(levels, OMOP),
    GAPS: gaps,
    "diabetes130-hma": partial(hma, "diabetes130"),
    "flights-hma": partial(hma, "flights"),
}
QUICK = ("diabetes130-beside", "diabetes130-8", "levels", GAPS)


def main() -> int:
    """Run the cases that are named, or all of them; 1 where one misses a gate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(STEPS))
    everything = tuple(s for s in STEPS if s != OMOP or is_there())
    chosen = parser.parse_args().cases or (QUICK if is_quick() else everything)
    if unknown := set(chosen) - set(STEPS):
        raise SystemExit(f"unknown case {min(unknown)!r}; known: {', '.join(STEPS)}")
    return max(STEPS[name]() for name in chosen)


if __name__ == "__main__":
    sys.exit(main())
