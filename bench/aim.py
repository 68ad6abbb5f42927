"""AIM in a federation beside AIM as published, MST, and how other federated mechanisms choose.

Parts: ``adult-EPSILON``, ``acs`` and ``brfss`` (epsilon 1) with one silo's noise, that is no
trusted party and masked sums; ``rivals-SILOS-SPLIT`` with own noise. Distances are mean total
variation over all pairs, and over 64 fixed triples, of a drawn table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from aim_published import Counts, Setting, count_with_cache, published_aim
from fit import load_adult
from peers import CACHE
from pooled import coded_schema, run_pooled
from results import Figure, is_quick, publish
from rivals import Federation, flaim, hetero_fed_syn
from tables import load_case

from silosynth.common.domain import Domain, Grouping
from silosynth.common.metrics import all_cliques, fixed_cliques, marginal_distance
from silosynth.common.privacy import rho_for
from silosynth.common.sampler import build_sampler, draw_codes
from silosynth.common.schema import Schema
from silosynth.server.graphical_model import GraphicalModel
from silosynth.server.planner import new_plan
from silosynth.server.release import draw_order

ORDERED = frozenset(
    {"age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"}
)
SEEDS = (0, 1, 2)
SILOS = (10, 100)
HERE = Path(__file__).resolve().parent
CODE = frozenset(
    ("aim", "beliefs", "compress", "descent", "fit", "fitting", "planner", "questions", "select")
)
"""Modules of the server that a kept run depends on."""
DIRICHLET = 0.1
MAX_SHARED = 1.10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """One data set: its schema, rows by code, and delta."""

    name: str
    schema: Schema
    codes: np.ndarray
    delta: float
    silos: np.ndarray | None = None

    @property
    def domain(self) -> Domain:
        """Return the sizes of the attributes."""
        return self.schema.domain

    def distances(self, columns: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return (2,) the mean 2-way and 3-way distance of drawn columns from the rows."""
        sets = (all_cliques(self.domain, 2), fixed_cliques(self.domain, 3, count=64, seed=0))
        real = tuple(self.codes.T)
        return np.array(
            [
                marginal_distance(real, columns, domain=self.domain, cliques=cliques).mean()
                for cliques in sets
            ]
        )


def load_ground(name: str) -> Ground:
    """Return Adult (private-pgm's codes, 80 % of the rows), ACS by PUMA or BRFSS by state."""
    if name == "adult":
        domain, codes = load_adult()
        kept = np.random.default_rng(7).permutation(len(codes))[: len(codes) * 4 // 5]
        schema = coded_schema("adult", domain=domain, ordered=ORDERED)
        return Ground(name=name, schema=schema, codes=codes[kept], delta=1e-9)
    files = {"acs": ("nist_acs", "national2019.csv"), "brfss": ("brfss2022", "brfss2022.parquet")}
    case = load_case(*files[name])
    column = case.domain.index("PUMA") if name == "acs" else None
    silos = None if column is None else case.codes[:, column]
    return Ground(name=name, schema=case.schema, codes=case.codes, delta=1e-6, silos=silos)


def draw_model(model: GraphicalModel, *, schema: Schema, rows: int) -> tuple[np.ndarray, ...]:
    """Draw rows of a model over fine codes."""
    sampler = build_sampler(
        schema=schema,
        grouping=Grouping(),
        within={},
        nodes=draw_order(model),
        total=model.total,
        certificate={},
        plan_digest="sha256:" + "0" * 64,
    )
    return draw_codes(sampler, rows=rows, seed=0)


Run = Callable[[int], tuple[np.ndarray, ...]]


def ours(
    ground: Ground, counts: Counts, *, method: str, epsilon: float, silos: int = 1, rounds: int = 2
) -> Run:
    """Return what runs one of our methods with a seed."""

    def run(seed: int) -> tuple[np.ndarray, ...]:
        plan = new_plan(
            ground.schema,
            epsilon=epsilon,
            delta=ground.delta,
            silos=("s",),
            method=method,
            rounds=rounds,
        )
        rng = np.random.default_rng(seed)
        done = run_pooled(plan, counts, schema=ground.schema, rng=rng, silos=silos)
        return draw_codes(done.sampler, rows=len(ground.codes), seed=seed)

    return run


def published(ground: Ground, counts: Counts, *, epsilon: float) -> Run:
    """Return what runs the published mechanism on the pooled rows with a seed."""
    setting = Setting(
        rho=float(rho_for(epsilon, ground.delta)),
        workload=dict.fromkeys(combinations(ground.domain.attributes, 2), 1.0),
    )

    def run(seed: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(seed)
        done = published_aim(counts, domain=ground.domain, setting=setting, rng=rng)
        return draw_model(done.model, schema=ground.schema, rows=len(ground.codes))

    return run


def measure(
    ground: Ground, run: Run, *, label: str, seeds: tuple[int, ...]
) -> tuple[np.ndarray, float]:
    """Return (seeds, 2) distances and mean CPU seconds; each run is kept under bench/.peers."""
    found, seconds = [], []
    for seed in seeds:
        target = CACHE / f"aim-{_digest(ground.name, label, seed)}.json"
        if not target.exists():
            start = time.process_time()
            distances = ground.distances(run(seed)).tolist()
            CACHE.mkdir(parents=True, exist_ok=True)
            facts = {"distances": distances, "seconds": time.process_time() - start}
            target.write_text(json.dumps(facts))
        facts = json.loads(target.read_text())
        found.append(facts["distances"])
        seconds.append(facts["seconds"])
    return np.array(found), float(np.mean(seconds))


def _digest(*parts: object) -> str:
    """Name a run by everything that it depends on: what is run, and by which code."""
    digest = hashlib.sha256(repr(parts).encode())
    for path in (*sorted(HERE.glob("aim*.py")), HERE / "rivals.py", HERE / "pooled.py"):
        if path.name != "aim.py":
            digest.update(path.read_bytes())
    for path in sorted((HERE.parent / "server").glob("*.py")):
        if path.stem in CODE:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def figures_of(
    label: str, found: np.ndarray, seconds: float, *, best: float | None, at_most: float | None
) -> Iterator[Figure]:
    """Yield the distances and the time of one contender; the 2-way one may be gated."""
    for i, way in enumerate(("2-way", "3-way")):
        yield Figure(
            figure=f"{label}: {way}",
            value=float(found[:, i].mean()),
            spread=float(np.ptp(found[:, i]) / 2),
            unit="distance",
            peer=best if i == 0 else None,
            at_most=at_most if i == 0 else None,
        )
    yield Figure(figure=f"{label}: CPU", value=seconds, unit="s")


def pooled_figures(name: str, *, epsilons: tuple[float, ...]) -> Iterator[Figure]:
    """Yield ours with masked sums beside the published mechanism and MST."""
    ground = load_ground(name)
    counts = count_with_cache(ground.codes, domain=ground.domain)
    seeds = SEEDS[:1] if is_quick() else SEEDS
    for epsilon in epsilons:
        label = f"{name}, epsilon {epsilon:g}"
        contender = f"{label}, AIM as published, pooled"
        run = published(ground, counts, epsilon=epsilon)
        found, seconds = measure(ground, run, label=contender, seeds=seeds)
        yield from figures_of(contender, found, seconds, best=None, at_most=None)
        reference = float(found[:, 0].mean())
        run = ours(ground, counts, method="mst", epsilon=epsilon)
        found, seconds = measure(ground, run, label=f"{label}, our MST", seeds=seeds)
        yield from figures_of(f"{label}, our MST", found, seconds, best=None, at_most=None)
        tree = float(found[:, 0].mean())
        for rounds in (1, 2):
            run = ours(ground, counts, method="aim", epsilon=epsilon, rounds=rounds)
            contender = f"{label}, our AIM, {rounds} rounds"
            found, seconds = measure(ground, run, label=contender, seeds=seeds)
            bound = min(MAX_SHARED * reference, tree) if rounds == 2 else None
            yield from figures_of(
                contender,
                found,
                seconds,
                best=reference,
                at_most=bound,
            )


def split_rows(ground: Ground, *, silos: int, how: str) -> list[np.ndarray]:
    """Return the rows of each silo: equal and random, or by Dirichlet shares of the last column."""
    rng = np.random.default_rng(11)
    if how == "natural" and ground.silos is not None:
        members = [np.flatnonzero(ground.silos == v) for v in np.unique(ground.silos)]
    elif how == "iid":
        members = np.array_split(rng.permutation(len(ground.codes)), silos)
    else:
        label = ground.codes[:, -1]
        members = [np.empty(0, dtype=np.int64) for _ in range(silos)]
        for value in np.unique(label):
            rows = rng.permutation(np.flatnonzero(label == value))
            cuts = np.cumsum(rng.dirichlet(np.full(silos, DIRICHLET)))[:-1]
            parts = np.split(rows, (cuts * len(rows)).astype(int))
            members = [np.concatenate(two) for two in zip(members, parts, strict=True)]
    return [ground.codes[m] for m in members if len(m)]


def rival_figures(
    name: str, *, silos: int, how: str, epsilon: float, gated: bool
) -> Iterator[Figure]:
    """Yield own noise: ours, whose law no split changes, beside the rivals'."""
    ground = load_ground(name)
    parts = split_rows(ground, silos=silos, how=how)
    federation = Federation(
        silos=tuple(count_with_cache(p, domain=ground.domain) for p in parts),
        domain=ground.domain,
        rho=float(rho_for(epsilon, ground.delta)),
    )
    label = f"{name}, epsilon {epsilon:g}, {len(parts)} silos, {how}"
    contenders: dict[str, Callable[[np.random.Generator], GraphicalModel]] = {
        "NaiveFLAIM": lambda rng: flaim(federation, augmented=False, rng=rng),
        "AugFLAIM (private)": lambda rng: flaim(federation, augmented=True, rng=rng),
        "HeteroFedSyn": lambda rng: hetero_fed_syn(federation, rng=rng),
    }
    seeds, best = SEEDS[:1] if is_quick() else SEEDS, np.inf
    for rival, make in contenders.items():

        def run(seed: int, make: Callable[..., GraphicalModel] = make) -> tuple[np.ndarray, ...]:
            model = make(np.random.default_rng(seed))
            return draw_model(model, schema=ground.schema, rows=len(ground.codes))

        found, seconds = measure(ground, run, label=f"{label}, {rival}", seeds=seeds)
        best = min(best, float(found[:, 0].mean()))
        yield from figures_of(f"{label}, {rival}", found, seconds, best=None, at_most=None)
    counts = count_with_cache(ground.codes, domain=ground.domain)
    for method in ("mst", "aim"):
        run = ours(ground, counts, method=method, epsilon=epsilon, silos=len(parts))
        contender = f"{label}, our {method}"
        found, seconds = measure(ground, run, label=contender, seeds=seeds)
        bound = best if gated and method == "aim" else None
        yield from figures_of(contender, found, seconds, best=best, at_most=bound)


PARTS: dict[str, Callable[[], Iterator[Figure]]] = {
    **{
        f"adult-{e:g}": partial(pooled_figures, "adult", epsilons=(e,))
        for e in (1.0, 0.3, 3.0, 10.0)
    },
    **{
        f"rivals-{silos}-{how}": partial(
            rival_figures, "adult", silos=silos, how=how, epsilon=1.0, gated=True
        )
        for silos in SILOS
        for how in ("iid", "dirichlet")
    },
    "acs": partial(pooled_figures, "acs", epsilons=(1.0,)),
    "rivals-puma": partial(rival_figures, "acs", silos=20, how="natural", epsilon=1.0, gated=False),
    "brfss": partial(pooled_figures, "brfss", epsilons=(1.0,)),
}


def main() -> int:
    """Measure the parts that are named, or all of them; each writes a file of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    chosen = parser.parse_args().parts or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        raise SystemExit(f"unknown part {min(unknown)!r}; known: {', '.join(PARTS)}")
    return publish_parts(tuple(chosen))


def publish_parts(parts: tuple[str, ...]) -> int:
    """Measure, print and write each part; return 1 when a gate is missed, else 0."""
    return max(publish(f"aim-{part}", PARTS[part]()) for part in parts)


if __name__ == "__main__":
    raise SystemExit(main())
