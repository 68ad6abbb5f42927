"""Compare silosynth with its peers on ACS data: how far is a synthetic table from the real one?

Every contender gets the same codes and the same (epsilon, delta), and writes as many rows as the
real table has. Distances are mean total variation over all 1-way, all 2-way and 200 fixed 3-way
marginals, averaged over the seeds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.aim.__main__ import PARTS, publish_parts
from bench.peers.run import PEERS, ROOT, run_peer
from bench.quality.brfss import measure_brfss
from bench.support.distances import mean_distances
from bench.support.ours import draw_noisier, draw_own_noise
from bench.support.results import QUICK_RESULTS, Figure, is_quick, publish
from bench.support.tables import Case, load_case, split_by
from silosynth.common.scores.metrics import bootstrap, independent_columns

DELTA = 1e-6
PEER_NAMES = ("mbi", "dpmm")
ONE_SILO = "silosynth, 1 silo"
MOST_WORSE = 1.05
"""How much further than the better peer one silo may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much to run."""

    epsilons: tuple[float, ...] = (1.0, 8.0)
    seeds: tuple[int, ...] = (0, 1, 2)
    attributes: int | None = None
    peers: tuple[str, ...] = PEER_NAMES
    gated: bool = True


QUICK = Extent(epsilons=(1.0,), seeds=(0,), attributes=4, peers=("mbi",), gated=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """Synthetic codes and the seconds that they took; ``peak_bytes`` where it is known."""

    codes: np.ndarray
    seconds: float
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Score:
    """One contender at one epsilon: (seeds, 3) distances, mean seconds, largest peak memory."""

    distances: np.ndarray
    seconds: float
    peak_bytes: int | None

    @property
    def means(self) -> np.ndarray:
        """Return the mean 1-way, 2-way and 3-way distance over the seeds."""
        return np.asarray(self.distances.mean(axis=0))

    @property
    def spreads(self) -> np.ndarray:
        """Return half the range of each distance over the seeds."""
        return np.asarray(np.ptp(self.distances, axis=0) / 2)


Contender = Callable[..., Made]


def make_peer(case: Case, peer: str, *, epsilon: float, seed: int) -> Made:
    """Let a peer make a table of the pooled rows."""
    run = run_peer(peer, case.codes, case.domain.shape, epsilon=epsilon, delta=DELTA, seed=seed)
    return Made(codes=run.codes, seconds=run.seconds, peak_bytes=run.peak_bytes)


def make_ours(draw: Callable[..., np.ndarray], *, epsilon: float, seed: int) -> Made:
    """Let silosynth make a table."""
    start = time.perf_counter()
    codes = draw(epsilon=epsilon, delta=DELTA, seed=seed)
    return Made(codes=codes, seconds=time.perf_counter() - start)


def contenders(case: Case, *, peers: tuple[str, ...]) -> dict[str, Contender]:
    """Return what makes a table of an epsilon and a seed, by name."""
    silos = split_by(case.table, "PUMA")
    pooled = partial(draw_own_noise, {"pooled": case.table}, schema=case.schema)
    own = partial(draw_own_noise, silos, schema=case.schema)
    theory = partial(draw_noisier, case.table, schema=case.schema, times=len(silos))
    return {
        **{f"{peer}, pooled rows": partial(make_peer, case, peer) for peer in peers},
        ONE_SILO: partial(make_ours, pooled),
        f"silosynth, {len(silos)} silos, own noise": partial(make_ours, own),
        f"silosynth, 1 silo, {len(silos)}x the noise variance": partial(make_ours, theory),
    }


def references(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what no synthesis takes part in: other real rows, and columns without relation."""
    control = load_case("nist_acs", "national2018.csv", schema=case.schema)
    yield "national2018, the control sample", control.codes
    columns = tuple(case.codes.T)
    yield "ceiling: bootstrap of the real rows", np.stack(bootstrap(columns, seed=0), axis=1)
    yield "floor: independent columns", np.stack(independent_columns(columns, seed=0), axis=1)


def measure(case: Case, contender: Contender, *, epsilon: float, seeds: tuple[int, ...]) -> Score:
    """Run one contender once a seed."""
    made = [contender(epsilon=epsilon, seed=seed) for seed in seeds]
    peaks = [m.peak_bytes for m in made if m.peak_bytes is not None]
    return Score(
        distances=np.array([mean_distances(case.codes, m.codes, domain=case.domain) for m in made]),
        seconds=float(np.mean([m.seconds for m in made])),
        peak_bytes=max(peaks, default=None),
    )


def reference_figures(case: Case) -> Iterator[Figure]:
    """Yield the distances of the control, the ceiling and the floor."""
    for name, codes in references(case):
        distances = mean_distances(case.codes, codes, domain=case.domain)
        for way, distance in enumerate(distances, 1):
            yield Figure(figure=f"{name}: {way}-way", value=float(distance), unit="distance")


def score_figures(scores: Mapping[str, Score], *, epsilon: float, gated: bool) -> Iterator[Figure]:
    """Yield the figures of all contenders at one epsilon; one silo must keep up with peers."""
    peers = [score.means for name, score in scores.items() if name.startswith(PEER_NAMES)]
    best = np.min(peers, axis=0) if peers else None
    for name, score in scores.items():
        label = f"epsilon {epsilon:g}, {name}"
        for i in range(3):
            peer = None if best is None or name.startswith(PEER_NAMES) else float(best[i])
            bound = None if peer is None else MOST_WORSE * peer
            yield Figure(
                figure=f"{label}: {i + 1}-way",
                value=float(score.means[i]),
                spread=float(score.spreads[i]),
                unit="distance",
                peer=peer,
                at_most=bound if gated and name == ONE_SILO else None,
            )
        yield Figure(figure=f"{label}: time", value=score.seconds, unit="s")
        if score.peak_bytes is not None:
            yield Figure(figure=f"{label}: memory", value=score.peak_bytes / 1e6, unit="MB")


def quality_figures(extent: Extent, *, only: str) -> Iterator[Figure]:
    """Yield every distance; ``only`` keeps the contenders whose name holds it."""
    case = load_case("nist_acs", "national2019.csv", attributes=extent.attributes)
    yield from reference_figures(case)
    chosen = {
        name: run for name, run in contenders(case, peers=extent.peers).items() if only in name
    }
    for epsilon in extent.epsilons:
        scores = {}
        for name, contender in chosen.items():
            print(f"epsilon {epsilon:g}: {name}", file=sys.stderr, flush=True)
            scores[name] = measure(case, contender, epsilon=epsilon, seeds=extent.seeds)
        yield from score_figures(scores, epsilon=epsilon, gated=extent.gated)


def main() -> int:
    """Measure, print and write; QUICK=1 measures little, and gates nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run contenders whose name holds this text")
    only = parser.parse_args().only
    quick = is_quick()
    figures = list(quality_figures(QUICK if quick else Extent(), only=only))
    if not quick and not only:
        figures += measure_brfss()
    directory = QUICK_RESULTS if quick or only else None
    code = publish("quality", figures, room="quality", directory=directory)
    return code if quick or only else max(code, publish_parts(tuple(PARTS)), draw_curves())


def draw_curves() -> int:
    """Draw the curves of AIM's figures in the environment that has matplotlib."""
    python = PEERS / "plots" / "bin" / "python"
    return subprocess.run([python, "-m", "bench.aim.curves"], cwd=ROOT).returncode


if __name__ == "__main__":
    raise SystemExit(main())
