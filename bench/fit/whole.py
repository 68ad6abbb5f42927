"""Whole runs on Adult, each in a process of its own: measure, choose, fit, draw as many rows.

MST beside mbi's, and AIM (two rounds, as in a federation) beside mbi's AIM by a lower bound: the
CPU seconds of its first rounds, of the 31 or more that the published mechanism takes here.
Times are after import, and the best of several of ours.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from bench.aim.ground import load_ground
from bench.peers.run import CACHE, PEERS, ROOT, run_peer
from bench.support.results import Figure, is_quick, publish
from silosynth.server.planning import new_plan

REPEATS = 3
MBI_SECONDS = 300
"""After so long mbi's AIM is stopped: what it took is a lower bound of the whole run."""


def repeat(method: str, epsilon: float) -> dict[str, float]:
    """Return the best seconds and the largest peak of several processes."""
    ground = load_ground("adult")
    plan = new_plan(ground.schema, epsilon=epsilon, delta=ground.delta, silos=("s",), method=method)
    runs = []
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "in.npz"
        np.savez(
            source,
            codes=ground.codes.astype(np.uint16),
            schema=np.asarray(ground.schema.model_dump_json()),
            plan=np.asarray(plan.model_dump_json()),
        )
        for _ in range(1 if is_quick() else REPEATS):
            command: list[str | Path] = [sys.executable, "-m", "bench.fit.whole_run", source]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
            runs.append(json.loads(done.stdout))
    return {
        "seconds": min(r["seconds"] for r in runs),
        "cpu": min(r["cpu"] for r in runs),
        "peak": max(r["peak"] for r in runs),
        "before": max(r["before"] for r in runs),
        "spread": float(np.ptp([r["seconds"] for r in runs]) / 2),
    }


def mst_figures() -> list[Figure]:
    """Return the whole MST run beside mbi's."""
    found = repeat("mst", 1.0)
    ground = load_ground("adult")
    shape = ground.domain.shape
    peer = run_peer("mbi", ground.codes, shape, epsilon=1.0, delta=ground.delta, seed=0)
    return [
        Figure(
            figure="MST on Adult, epsilon 1, whole run",
            value=found["seconds"],
            spread=found["spread"],
            unit="s",
            peer=peer.seconds,
            at_most=1.2,
        ),
        Figure(
            figure="the same, times faster than mbi",
            value=peer.seconds / found["seconds"],
            unit="times",
            at_least=50,
        ),
        Figure(
            figure="the same, peak memory of the process",
            value=found["peak"] / 1e6,
            unit="MB",
            peer=peer.peak_bytes / 1e6,
            at_most=peer.peak_bytes / 8e6,
        ),
    ]


def mbi_aim() -> dict[str, float]:
    """Return the CPU seconds that mbi's AIM took until it was stopped, and its finished rounds."""
    target = CACHE / f"aim-mbi-{MBI_SECONDS}.json"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        ground = load_ground("adult")
        source, rounds = CACHE / "aim-mbi.in.npz", CACHE / "aim-mbi.rounds.json"
        np.savez(source, codes=ground.codes, shape=np.asarray(ground.domain.shape))
        rounds.write_text("[]")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command: list[str | Path] = [
            PEERS / "mbi" / "bin" / "python",
            "-m",
            "bench.aim.with_mbi",
            source,
            rounds,
        ]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=ROOT, check=True, timeout=MBI_SECONDS)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        facts = {"cpu": spent, "rounds": len(json.loads(rounds.read_text()))}
        target.write_text(json.dumps(facts))
    return dict(json.loads(target.read_text()))


def aim_figures() -> list[Figure]:
    """Return the whole AIM runs."""
    figures = []
    for epsilon, most in ((1.0, 15.0), (10.0, 90.0)):
        found = repeat("aim", epsilon)
        name = f"AIM on Adult, epsilon {epsilon:g}, 5 MB model, whole run"
        figures.append(
            Figure(
                figure=name,
                value=found["seconds"],
                spread=found["spread"],
                unit="s",
                at_most=most,
            )
        )
        figures.append(Figure(figure=f"{name}: peak memory", value=found["peak"] / 1e6, unit="MB"))
        if epsilon == 1.0 and not is_quick():
            peer = mbi_aim()
            figures.append(
                Figure(
                    figure=f"{name}: CPU; mbi until stopped in round {peer['rounds'] + 1:g} of 31",
                    value=found["cpu"],
                    unit="s",
                    peer=peer["cpu"],
                    at_most=peer["cpu"] / 20,
                )
            )
    return figures


def whole_figures() -> list[Figure]:
    """Return the figures of all whole runs."""
    return [*mst_figures(), *aim_figures()]


if __name__ == "__main__":
    sys.exit(publish("whole", whole_figures(), room="fit"))
