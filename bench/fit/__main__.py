"""Fit the same measurements as mbi 2.0: loss, seconds, memory; larger models alone; whole runs.

Prints tables, writes fit.json, whole.json and fit_growth.json, and exits with 1 when a gate
is missed. QUICK=1 compares the tree alone. Times are the best of several, ours and mbi's alike.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.fit.growth import growth_figures
from bench.fit.problems import Problem, adult_problems, peak_megabytes, seconds
from bench.fit.whole import whole_figures
from bench.peers.run import PEERS, ROOT
from bench.support.results import Figure, is_quick, publish

PEER = PEERS / "mbi"
ITERATIONS = (1_000, 10_000)


def run_peer(case: Problem) -> dict[str, np.ndarray]:
    """Return what mbi makes of the same measurements."""
    if not (PEER / "READY").exists():
        raise SystemExit(f"{PEER} is not set up; run make bench-setup")
    arrays: dict[str, np.ndarray] = {
        "shape": np.asarray(case.domain.shape),
        "total": np.asarray(case.total),
        "sigma": np.asarray(case.sigma),
    }
    for i, m in enumerate(case.measurements):
        arrays[f"clique_{i}"] = np.asarray([case.domain.index(a) for a in m.clique])
        arrays[f"values_{i}"] = m.values
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "in.npz", Path(directory) / "out.npz"
        np.savez(source, allow_pickle=False, **arrays)
        iterations = ["--iterations", *map(str, ITERATIONS)]
        command: list[str | Path] = [
            PEER / "bin" / "python",
            "-m",
            "bench.fit.with_mbi",
            source,
            target,
        ]
        subprocess.run([*command, *iterations], cwd=ROOT, check=True)
        with np.load(target) as file:
            return dict(file)


def answers(peer: dict[str, np.ndarray], *, label: str, case: Problem) -> list[np.ndarray]:
    """Return the peer's marginals, one per measurement."""
    return [peer[f"answer_{label}_{i}"] for i in range(len(case.measurements))]


def seconds_to(loss: float, *, case: Problem) -> float:
    """Return the wall time of the fewest iterations whose loss is not above ``loss``."""
    low, high = -1, 1
    while case.fit(iterations=high, tolerance=0.0).loss > loss:
        if high > 20_000:
            raise SystemExit(f"{case.name}: the loss of mbi is out of reach")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if case.fit(iterations=middle, tolerance=0.0).loss > loss:
            low = middle
        else:
            high = middle
    return seconds(lambda: case.fit(iterations=high, tolerance=0.0))


def compare(case: Problem) -> list[Figure]:
    """Return loss, seconds and memory beside mbi's."""
    peer = run_peer(case)
    short, long = (str(i) for i in ITERATIONS)
    losses = {k: case.loss(answers(peer, label=k, case=case)) for k in (short, long)}
    ours = case.fit()
    ratio = ours.loss / losses[long]
    alone = seconds(case.fit)
    at_equal = {k: seconds_to(losses[k], case=case) for k in losses}
    warm = {k: float(peer[f"seconds_{k}"]) for k in losses}
    cold = float(peer["seconds_cold"])
    shares = zip(case.measurements, answers(peer, label=long, case=case), strict=True)
    apart = [0.5 * np.abs(ours.marginal(m.clique) - a).sum() / case.total for m, a in shares]
    name = case.name
    return [
        Figure(figure=f"{name}: cells", value=ours.tree.cells, unit="cells"),
        Figure(
            figure=f"{name}: loss over that of mbi, {long} iterations",
            value=ratio,
            unit="ratio",
            peer=losses[long],
            at_most=1.01,
        ),
        Figure(figure=f"{name}: fit", value=alone, unit="s", peer=warm[long]),
        Figure(
            figure=f"{name}: distance to mbi's marginals", value=float(np.mean(apart)), unit="TV"
        ),
        Figure(
            figure=f"{name}: to mbi's loss at {short} iterations, warm",
            value=warm[short] / at_equal[short],
            unit="times",
            peer=warm[short],
            at_least=5,
        ),
        Figure(
            figure=f"{name}: to mbi's loss at {long} iterations, warm",
            value=warm[long] / at_equal[long],
            unit="times",
            peer=warm[long],
            at_least=5,
        ),
        Figure(
            figure=f"{name}: to mbi's loss at {short} iterations, cold",
            value=cold / at_equal[short],
            unit="times",
            peer=cold,
            at_least=20,
        ),
        Figure(
            figure=f"{name}: memory of the fit (mbi: its process)",
            value=peak_megabytes(case.fit),
            unit="MiB",
            peer=float(peer["peak_bytes"]) / 2**20,
        ),
    ]


def main() -> int:
    """Measure, print, write, and judge."""
    code = publish("whole", whole_figures(), room="fit")
    problems = adult_problems()[:1] if is_quick() else adult_problems()
    found = [figure for case in problems for figure in compare(case)]
    code = max(code, publish("fit", found, room="fit"))
    if is_quick():
        return code
    return max(code, publish("fit_growth", growth_figures(), room="fit"))


if __name__ == "__main__":
    sys.exit(main())
