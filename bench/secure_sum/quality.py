"""How far synthetic tables are from the real one: shared noise, own noise, one pooled silo.

Shared noise with t = 0 is run with all silos, keys and masks. Own noise and the other t are run as
one pooled silo with the noise variance that their sum has, K and K / (K - t) times that of one:
masks cancel to the last bit, and the sum of shares has the law of one draw to 1e-16 (decision 017).
``bench/quality/__main__.py`` holds own noise of real silos beside that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pyarrow as pa

from bench.support.distances import mean_distances
from bench.support.results import Figure
from bench.support.tables import Case, load_case, split_by
from silosynth.common.plan import Plan
from silosynth.common.sampler import draw_codes
from silosynth.common.schema import Source
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate

DELTA = 1e-6
MOST_WORSE = 1.05
"""How much further than one pooled silo shared noise may be, where all silos are trusted to add
their noise and none may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """A data set and how it is split; ``by`` is a column, or a number of equal parts."""

    data_set: str
    file: str
    by: str | int
    epsilons: tuple[float, ...] = (1.0, 8.0)
    seeds: tuple[int, ...] = (0, 1, 2)
    colluders: tuple[int, ...] = (2, 6)
    attributes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much to run."""

    federations: tuple[Federation, ...] = (
        Federation(data_set="nist_acs", file="national2019.csv", by="PUMA"),
        Federation(data_set="adult", file="adult.parquet", by=10),
        Federation(data_set="brfss2022", file="brfss2022.parquet", by="State"),
    )
    gated: bool = True


QUICK = Extent(
    federations=(
        Federation(
            data_set="nist_acs",
            file="national2019.csv",
            by="PUMA",
            epsilons=(1.0,),
            seeds=(0,),
            colluders=(),
            attributes=6,
        ),
    ),
    gated=False,
)


def quality_figures(extent: Extent) -> Iterator[Figure]:
    """Yield the distances of every federation, epsilon and way to sum."""
    for federation in extent.federations:
        case = _vouched(_load(federation))
        silos = _split(case, federation)
        for epsilon in federation.epsilons:
            yield from _at_epsilon(case, silos, federation, epsilon=epsilon, gated=extent.gated)


def _at_epsilon(
    case: Case,
    silos: Mapping[str, pa.Table],
    federation: Federation,
    *,
    epsilon: float,
    gated: bool,
) -> Iterator[Figure]:
    """Yield the figures of one epsilon; shared noise at t = 0 must keep up with one silo."""
    seeds = federation.seeds
    one, count = {"pooled": case.table}, len(silos)
    label = f"{federation.data_set}, {count} silos, epsilon {epsilon:g}"
    pooled = _run(case, one, seeds=seeds, epsilon=epsilon)
    yield from _figures(f"{label}: one pooled silo", pooled)
    shared = _run(case, silos, seeds=seeds, epsilon=epsilon, trust="shared")
    yield from _figures(
        f"{label}: shared noise, t = 0",
        shared,
        peer=pooled,
        most_worse=MOST_WORSE if gated else None,
    )
    for colluders in federation.colluders:
        times = Fraction(count, count - colluders)
        made = _run(case, one, seeds=seeds, epsilon=epsilon, times=times)
        yield from _figures(f"{label}: shared noise, t = {colluders}", made, peer=pooled)
    own = _run(case, one, seeds=seeds, epsilon=epsilon, times=Fraction(count))
    yield from _figures(f"{label}: own noise", own, peer=pooled)


def _run(
    case: Case,
    silos: Mapping[str, pa.Table],
    *,
    seeds: tuple[int, ...],
    epsilon: float,
    trust: str = "own",
    times: Fraction = Fraction(1),
) -> np.ndarray:
    """Return (seeds, 3) distances of a whole run each, with ``times`` the noise variance."""
    distances = []
    for seed in seeds:
        start = time.perf_counter()
        plan = _plan(case, tuple(silos), epsilon=epsilon, trust=trust, times=times)
        result = simulate(plan, schema=case.schema, silos=silos, engine="local")
        columns = draw_codes(result.sampler, rows=case.table.num_rows, seed=seed)
        codes = np.stack([column.astype(np.uint16) for column in columns], axis=1)
        distances.append(mean_distances(case.codes, codes, domain=case.domain))
        print(
            f"{len(silos)} silos, epsilon {epsilon:g}, {trust} x {times}, seed {seed}: "
            f"{distances[-1].round(4)} in {time.perf_counter() - start:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return np.array(distances)


def _plan(
    case: Case, silos: tuple[str, ...], *, epsilon: float, trust: str, times: Fraction
) -> Plan:
    """Return an MST plan with ``times`` the noise variance that its budget needs."""
    plan = new_plan(
        case.schema, epsilon=epsilon, delta=DELTA, silos=silos, method="mst", trust=trust
    )
    phases = tuple(p.model_copy(update={"sigma2": p.sigma2 * times}) for p in plan.phases)
    return plan.model_copy(update={"phases": phases})


def _figures(
    label: str,
    distances: np.ndarray,
    *,
    peer: np.ndarray | None = None,
    most_worse: float | None = None,
) -> Iterator[Figure]:
    """Yield mean and half range over the seeds, beside the pooled silo's."""
    for way in range(3):
        beside = None if peer is None else float(peer[:, way].mean())
        yield Figure(
            figure=f"{label}: {way + 1}-way",
            value=float(distances[:, way].mean()),
            spread=float(np.ptp(distances[:, way]) / 2),
            unit="distance",
            peer=beside,
            at_most=None if most_worse is None or beside is None else most_worse * beside,
        )


def _load(federation: Federation) -> Case:
    """Read the table."""
    return load_case(federation.data_set, federation.file, attributes=federation.attributes)


def _vouched(case: Case) -> Case:
    """Declare domains that were read off the extract: they are those of published forms."""
    attributes = tuple(
        a.model_copy(update={"source": Source.DECLARED}) if a.source is Source.UNREVIEWED else a
        for a in case.schema.attributes
    )
    return replace(case, schema=case.schema.model_copy(update={"attributes": attributes}))


def _split(case: Case, federation: Federation) -> Mapping[str, pa.Table]:
    """Return one table a silo."""
    if isinstance(federation.by, str):
        parts = split_by(case.table, federation.by)
        return {f"s{i:02d}": table for i, table in enumerate(parts.values())}
    order = np.random.default_rng(0).permutation(case.table.num_rows)
    return {
        f"s{i:02d}": case.table.take(part)
        for i, part in enumerate(np.array_split(order, federation.by))
    }
