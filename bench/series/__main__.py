"""A second epoch at a quarter of the budget beside a fresh run, and what looks for drift find.

The budget is what the ledger adds up over epochs, zCDP rho; for a sixteenth of it, which is about a
quarter of epsilon, the same is shown without a gate. Where a look says that nothing moved, the last
sampler stays.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from bench.series.epochs import begin, distance_to, look, second_epoch
from bench.series.tables import Epochs, acs, air, people, planted, shared
from bench.support.results import QUICK_RESULTS, Figure, is_quick, publish
from silosynth.common.sampler import dump_sampler
from silosynth.server.drift import ALARM, find_drift, plan_drift

EPSILON, LOOK = 1.0, 0.2
SEEDS = (0, 1, 2)
BUDGETS = {"a quarter of rho": 1 / 4, "a sixteenth of rho, a quarter of epsilon": 1 / 16}
GATED = "a quarter of rho"
MOST_WORSE = 1.05
QUIET, MOVED, FOUND = 40, 20, 19


CASES: Mapping[str, Callable[[], Epochs]] = {
    "planted": lambda: planted(seed=0),
    "acs": acs,
    "acs-shared": lambda: shared(acs()),
    "air-2015": lambda: air(2014, 2015),
    "air-2016": lambda: air(2015, 2016),
}


def epoch_figures(case: Epochs, *, seeds: tuple[int, ...], gated: bool) -> Iterator[Figure]:
    """Yield what a second epoch comes to beside a fresh run, by what it may cost."""
    print(case.name, file=sys.stderr, flush=True)
    begun = [begin(case, epsilon=EPSILON, seed=seed) for seed in seeds]
    fresh = np.array([distance_to(b.fresh.sampler, case.now) for b in begun])
    stay = np.array([distance_to(b.last, case.now) for b in begun])
    yield Figure(figure=f"{case.name}: a fresh run's 2-way", value=fresh.mean(), unit="distance")
    yield _ratio(f"{case.name}: the last sampler's 2-way over it", stay, fresh)
    for budget, units in BUDGETS.items():
        made = [second_epoch(b, units=units) for b in begun]
        distances = np.array([m.distance for m in made])
        gate = MOST_WORSE if gated and budget == GATED else None
        yield _ratio(f"{case.name}, {budget}: 2-way over it", distances, fresh, at_most=gate)
        for what, values, unit in (
            ("rho of the whole run's", [m.units for m in made], "share"),
            ("pairs measured", [m.pairs for m in made], "pairs"),
            ("pairs that moved", [m.moved for m in made], "pairs"),
        ):
            yield Figure(
                figure=f"{case.name}, {budget}: {what}", value=float(np.mean(values)), unit=unit
            )


def _ratio(
    name: str, distances: np.ndarray, fresh: np.ndarray, *, at_most: float | None = None
) -> Figure:
    """Return the ratio of mean distances, with half the range over the seeds."""
    return Figure(
        figure=name,
        value=float(distances.mean() / fresh.mean()),
        spread=float(np.ptp(distances / fresh) / 2),
        unit="ratio",
        at_most=at_most,
    )


def look_figures(*, quiet: int, moved: int, gated: bool) -> Iterator[Figure]:
    """Yield how many looks of a series raise an alarm without drift, and find what was planted."""
    case = planted(seed=7)
    begun = begin(case, epsilon=EPSILON, seed=7)
    sampler = begun.last
    asked, inputs = plan_drift(begun.plan, dump_sampler(sampler), epsilon=LOOK, plan_id="look")
    random = np.random.default_rng(7)
    see = partial(look, asked, inputs, random=random, silos=case.silos)
    first = see(people(random))
    alarms = sum(
        bool(find_drift(first, see(people(random)), sampler=sampler).moved) for _ in range(quiet)
    )
    found = sum(
        ("b", "d")
        in find_drift(see(people(random)), see(people(random, moved=0.05)), sampler=sampler).moved
        for _ in range(moved)
    )
    yield Figure(
        figure=f"false alarms in {quiet} epochs without drift, at {ALARM:g} a look",
        value=alarms,
        unit="epochs",
        at_most=0 if gated else None,
    )
    yield Figure(
        figure=f"planted drift of 5 points in one pair, found in {moved} epochs",
        value=found,
        unit="epochs",
        at_least=FOUND if gated else None,
    )


def figures(only: str) -> Iterator[Figure]:
    """Yield the figures of the tables whose name holds a text; of looks at "looks"."""
    if only in "looks":
        yield from look_figures(quiet=QUIET, moved=MOVED, gated=True)
    for name, case in CASES.items():
        if only in name:
            yield from epoch_figures(case(), seeds=SEEDS, gated=True)


def quick_figures() -> Iterator[Figure]:
    """Yield figures of one seed and small tables, without gates."""
    yield from epoch_figures(planted(seed=0), seeds=(0,), gated=False)
    yield from epoch_figures(acs(attributes=6), seeds=(0,), gated=False)
    yield from look_figures(quiet=4, moved=2, gated=False)


def main() -> int:
    """Measure, print and write; QUICK=1 measures little, and gates nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"one of looks, {', '.join(CASES)}")
    only = parser.parse_args().only
    if is_quick():
        publish("series", quick_figures(), room="series", directory=QUICK_RESULTS)
        return 0
    return publish("series", figures(only), room="series", update=bool(only))


if __name__ == "__main__":
    raise SystemExit(main())
