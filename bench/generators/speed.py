"""Rows a second that gradients are taken, clipped and summed, beside bare Opacus; and memory.

All contenders train the same networks on the same rows, one after the other in each of several
rounds, each in a process of its own with one thread; the best round of each counts. What is timed
is a whole step but for its noise: ours gives the exact integer sum, Opacus' optimizer clips and
accumulates, and training without privacy takes the gradient of the mean alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.generators.run import say
from bench.peers.run import PEERS, ROOT
from bench.support.results import Figure, is_quick

ROUNDS = 2
NETWORKS = ("adult masked-mlp", "digits masked-mlp", "text transformer")
CONTENDERS = ("ours", "opacus", "plain")


def measure(*, only: str = "") -> Iterator[Figure]:
    """Yield rows a second of each contender on each network, and peak memory.

    Args: only: networks whose name holds this.
    """
    chosen = NETWORKS[:1] if is_quick() else NETWORKS
    for network in (name for name in chosen if only in name):
        best: dict[str, float] = {}
        memory: dict[str, float] = {}
        for _ in range(1 if is_quick() else ROUNDS):
            for contender in CONTENDERS:
                found = _run(contender, network)
                best[contender] = max(best.get(contender, 0.0), found["rows"])
                memory[contender] = found["peak"] / 2**20
                say(f"  {network}, {contender}: {found['rows']:.0f} rows/s")
        ours, opacus, plain = (best[c] for c in CONTENDERS)
        label = f"{network}, DP-SGD"
        yield Figure(figure=f"{label}, silosynth", value=ours, unit="rows/s", peer=opacus)
        gate = None if is_quick() else 1.0
        yield Figure(
            figure=f"{label}, silosynth / Opacus", value=ours / opacus, unit="times", at_least=gate
        )
        yield Figure(figure=f"{label}, without privacy", value=plain, unit="rows/s")
        yield Figure(
            figure=f"{label}, silosynth / without privacy", value=ours / plain, unit="times"
        )
        yield Figure(
            figure=f"{label}, peak memory", value=memory["ours"], unit="MiB", peer=memory["opacus"]
        )


def _run(contender: str, network: str) -> dict[str, float]:
    """Return rows a processor second, and the peak of resident memory in bytes."""
    found = subprocess.run(
        [sys.executable, "-m", "bench.generators.step", contender, network, _opacus()],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    facts: dict[str, float] = json.loads(found.stdout)
    return facts


def _opacus() -> Path:
    """Return where Opacus lies, which runs on the project's own PyTorch: both have one version."""
    if not (PEERS / "opacus" / "READY").exists():
        raise SystemExit(f"{PEERS / 'opacus'} is not set up; run make bench-setup")
    return next((PEERS / "opacus" / "lib").glob("python*/site-packages"))
