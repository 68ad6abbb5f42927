"""Measure generators beside marginals and peers: tables, digits, texts, speed.

Every part and budget is a run of its own, with results of its own, so that one can be repeated
alone. Seconds are of processor time, so that a busy machine does not change them.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch

from bench.generators import digits, peers, speed, tables, text
from bench.support.results import is_quick, publish

OTHERS = {
    "digits": digits.measure,
    "text": text.measure,
    "speed": speed.measure,
}
ON_DEMAND = tuple(w for w in tables.WIDTHS if w != "wide")
"""Parts that are measured only when they are named."""
BY_BUDGET = {
    **{name: partial(tables.measure, name) for name in tables.SCALES},
    "peers": peers.measure,
}
IN_QUICK = {"adult": "", "digits": "one-shot"}
"""What QUICK=1 runs where no part is named, and which of its ways: half a minute on quiet cores."""


def main() -> int:
    """Measure the parts that are named, or all; print and write their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = (*BY_BUDGET, *OTHERS)
    whole = tuple(p for p in parts if p not in ON_DEMAND)
    parser.add_argument("part", nargs="*", help=f"of {', '.join(parts)}; all without one")
    parser.add_argument(
        "--epsilon", type=float, nargs="*", help="of tables and peers; 1, 3 and 10 without"
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="ways, networks or budgets whose name holds it"
    )
    parser.add_argument("--repeat", type=int, default=1, help="runs of each way on a table")
    asked = parser.parse_args()
    if unknown := set(asked.part) - set(parts):
        raise SystemExit(f"unknown part {min(unknown)!r}; known: {', '.join(parts)}")
    if asked.repeat < 1:
        raise SystemExit(f"--repeat {asked.repeat}: at least one run of each way")
    torch.set_num_threads(1)
    codes = [0]
    few = is_quick() and not asked.part
    for part in asked.part or (IN_QUICK if few else whole):
        only = asked.only or (IN_QUICK[part] if few else "")
        if part in BY_BUDGET:
            for epsilon in asked.epsilon or tables.epsilons():
                figures = BY_BUDGET[part](epsilon=epsilon, only=only, repeat=asked.repeat)
                name = f"generators-{part}-{epsilon:g}"
                codes.append(publish(name, figures, room="generators", update=bool(only)))
        else:
            figures = OTHERS[part](only=only)
            name = f"generators-{part}"
            codes.append(publish(name, figures, room="generators", update=bool(only)))
    return max(codes)


if __name__ == "__main__":
    raise SystemExit(main())
