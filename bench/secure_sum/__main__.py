"""What secure summation costs, and what shared noise buys.

First seconds and bytes of one silo and of the coordinator, beside Flower's SecAgg+ on the same
vectors; then the distance of the synthetic table from the real one, beside one pooled silo and
own noise. Seconds are those of the processor: all of this runs on one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.secure_sum.quality import QUICK as QUICK_QUALITY
from bench.secure_sum.quality import Extent as QualityExtent
from bench.secure_sum.quality import quality_figures
from bench.secure_sum.secagg_flower import measure_secagg
from bench.support.results import Figure, is_quick, publish
from silosynth.client.sums import SumMember, SumStore
from silosynth.client.sums.mask import mask_vector, new_secret, public_of
from silosynth.common.messages import (
    Receipt,
    Release,
    SumReceipt,
    SumStep,
    digest_cells,
    encode_release,
    encode_sum_statement,
    pack,
)
from silosynth.common.plan import Plan
from silosynth.common.schema import parse_schema
from silosynth.common.trust import SigningKey
from silosynth.server.measuring import add_masked
from silosynth.server.planning import new_plan

MOST_MS = 10.0
"""Of a silo, for a million cells and peer."""
MOST_GROWTH = 1.5
_DIGEST = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much to time."""

    silos: tuple[int, ...] = (3, 10, 30, 100)
    cells: tuple[int, ...] = (10_000, 1_000_000, 5_000_000)
    repeats: int = 3
    gated: bool = True


QUICK = Extent(silos=(3, 10), cells=(10_000, 1_000_000), repeats=1, gated=False)


def mask_once(values: np.ndarray, *, silos: int, bits: int = 64) -> tuple[np.ndarray, float]:
    """Mask one silo's vector against all others; return it and the seconds."""
    peers = {f"silo-{i:03d}": public_of(new_secret()) for i in range(1, silos)}
    secret = new_secret()
    start = time.process_time()
    masked = mask_vector(
        values, bits=bits, own="silo-000", secret=secret, peers=peers, transcript=b"bench"
    )
    return masked, time.process_time() - start


def release_of(masked: np.ndarray) -> Release:
    """Return a masked vector as it goes over the wire."""
    cells = masked.view(f"<i{masked.itemsize}")
    bits = 8 * masked.itemsize
    receipt = Receipt(
        request_id="p/one-way.1/silo-000",
        request_hash=_DIGEST,
        plan_digest=_DIGEST,
        silo="silo-000",
        cells=(len(cells),),
        cells_digest=digest_cells([cells]),
        cost_units=1,
        ledger_head="0" * 64,
        sum=SumReceipt(session=1, set_digest=_DIGEST, bits=bits, alone_units=1),  # type: ignore[arg-type]  # as loose as a test may be
    )
    return Release(receipt=receipt, marginals=(cells,))


def add_up(release: Release, *, silos: int) -> float:
    """Return the coordinator's seconds for the sum of so many vectors."""
    start = time.process_time()
    add_masked([release] * silos)
    return time.process_time() - start


def mask_figures(extent: Extent) -> Iterator[Figure]:
    """Yield seconds and bytes by silos and cells, and how far from linear they grow."""
    spent: dict[int, dict[int, float]] = {}
    for cells in extent.cells:
        values = np.random.default_rng(0).integers(0, 1000, cells)
        for silos in extent.silos:
            print(f"{silos} silos, {cells:,} cells", file=sys.stderr, flush=True)
            runs = [mask_once(values, silos=silos) for _ in range(extent.repeats)]
            seconds = np.array([s for _, s in runs])
            release = release_of(runs[0][0])
            peer = measure_secagg(values / 1000.0, silos=silos)
            label = f"{silos} silos, {cells:,} cells"
            each = 1e9 * seconds / (cells * (silos - 1))
            spent.setdefault(cells, {})[silos] = float(seconds.mean())
            yield Figure(
                figure=f"{label}: silo masks",
                value=float(seconds.mean()),
                spread=float(np.ptp(seconds) / 2),
                unit="s",
                peer=peer.silo_seconds,
            )
            yield Figure(
                figure=f"{label}: for a million cells and peer",
                value=float(each.mean()),
                spread=float(np.ptp(each) / 2),
                unit="ms",
                peer=1e9 * peer.silo_seconds / (cells * (silos - 1)),
                at_most=MOST_MS if extent.gated and cells >= 1_000_000 else None,
            )
            yield Figure(
                figure=f"{label}: coordinator adds up",
                value=add_up(release, silos=silos),
                unit="s",
                peer=peer.coordinator_seconds,
            )
            yield Figure(
                figure=f"{label}: silo sends",
                value=len(encode_release(release)) / cells,
                unit="bytes a cell",
                peer=peer.silo_bytes / cells,
                at_most=8.1 if extent.gated else None,
            )
    yield from growth_figures(spent, gated=extent.gated)


def growth_figures(spent: Mapping[int, Mapping[int, float]], *, gated: bool) -> Iterator[Figure]:
    """Yield how much more the last peers cost than those before; 1 is linear growth."""
    for cells, seconds in spent.items():
        if len(seconds) < 3:
            continue
        few, some, many = sorted(seconds)[-3:]
        last = (seconds[many] - seconds[some]) / (many - some)
        before = (seconds[some] - seconds[few]) / (some - few)
        yield Figure(
            figure=f"{cells:,} cells: a peer among {some} to {many} over one among {few} to {some}",
            value=last / before,
            unit="times",
            at_most=MOST_GROWTH if gated and cells >= 1_000_000 else None,
        )


def agreement_figures(extent: Extent) -> Iterator[Figure]:
    """Yield what agreeing on the set costs one silo, for a plan of three phases."""
    for silos in extent.silos:
        with tempfile.TemporaryDirectory(prefix="silosynth-bench-") as name:
            seconds, size = _agree(Path(name), silos=silos)
        yield Figure(figure=f"{silos} silos: one silo agrees on a set", value=seconds, unit="s")
        yield Figure(figure=f"{silos} silos: statements in a request", value=size, unit="bytes")


def _agree(directory: Path, *, silos: int) -> tuple[float, int]:
    """Let all silos make keys and one of them vote; return its seconds and the proof's bytes."""
    keys = {f"silo-{i:03d}": SigningKey.generate() for i in range(silos)}
    plan = _plan({name: key.public for name, key in keys.items()})
    members = {
        name: SumMember(silo=name, store=SumStore(directory / name), key=key)
        for name, key in keys.items()
    }
    step = SumStep(plan_digest=plan.digest, session=1)
    adverts = tuple(pack(m.agree(plan, step)) for m in members.values())
    asked = SumStep(plan_digest=plan.digest, session=1, adverts=adverts)
    start = time.process_time()
    vote = members["silo-000"].agree(plan, asked)
    seconds = time.process_time() - start
    return seconds, len(encode_sum_statement(asked)) + silos * len(pack(vote))


def _plan(roster: dict[str, str]) -> Plan:
    """Return a plan of three phases over two yes-no attributes."""
    attributes = [{"name": name, "kind": "boolean"} for name in ("a", "b")]
    schema = parse_schema({"name": "bench", "attributes": attributes})
    plan = new_plan(schema, epsilon=1.0, delta=1e-6, silos=tuple(roster), trust="shared")
    return plan.model_copy(update={"roster": roster})


def main() -> int:
    """Measure, print and write; QUICK=1 measures little, and gates nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("", "speed", "quality"), default="")
    only, quick = parser.parse_args().only, is_quick()
    extent = QUICK if quick else Extent()
    figures: list[Figure] = []
    if only != "quality":
        figures += [*mask_figures(extent), *agreement_figures(extent)]
    if only != "speed":
        figures += quality_figures(QUICK_QUALITY if quick else QualityExtent())
    name = f"secure_sum_{only}" if only else "secure_sum"
    return publish(name, figures, room="secure_sum")


if __name__ == "__main__":
    raise SystemExit(main())
