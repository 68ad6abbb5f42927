"""SmartNoise's DP-CTGAN and PATE-CTGAN on Adult, pooled: the same rows, codes, budget and scores.

A peer runs in its own environment, once for the same script, pins and budget: its rows are kept
under bench/.peers/cache.
"""

from __future__ import annotations

import hashlib
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.generators.run import DELTA, say
from bench.generators.tables import MEASURES, Ground, load_ground, score_codes
from bench.peers.run import CACHE, PEERS, PINS, ROOT
from bench.support.results import Figure

METHODS = ("dpctgan", "patectgan")
MOST_SECONDS = 600
"""Of processor time: a peer that has not ended then is stopped, and that is its figure."""


def measure(*, epsilon: float, only: str = "", repeat: int = 1) -> Iterator[Figure]:
    """Yield the peers' scores at one budget; a peer runs once, whatever ``repeat`` says."""
    del repeat
    ground = load_ground("adult")
    real = ground.train
    for method in METHODS:
        if only not in method:
            continue
        say(f"adult: {method}, epsilon {epsilon:g}")
        target = _run(method, real, epsilon=epsilon)
        label = f"adult, epsilon {epsilon:g}, {method}, pooled"
        if target is None:
            say(f"  stopped after {MOST_SECONDS} s of processor time")
            yield Figure(figure=f"{label}, run, not ended", value=MOST_SECONDS, unit="CPU s")
            continue
        with np.load(target) as file:
            codes, seconds = file["codes"].astype(np.uint16), float(file["seconds"])
        found = score_codes(ground, real, codes, label=_positive(ground, real, codes))
        for value, (measure, unit) in zip(found, MEASURES, strict=True):
            yield Figure(figure=f"{label}, {measure}", value=value, unit=unit)
        yield Figure(figure=f"{label}, run", value=seconds, unit="CPU s")


def _positive(ground: Ground, real: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return ground.is_positive_code(real, codes[:, ground.label_column])


def _run(method: str, codes: np.ndarray, *, epsilon: float) -> Path | None:
    """Return where the peer's rows are, from the cache where it ran before; None when stopped."""
    if not (PEERS / "smartnoise" / "READY").exists():
        raise SystemExit(f"{PEERS / 'smartnoise'} is not set up; run make bench-setup")
    script = Path(__file__).with_name("with_smartnoise.py")
    pins = PINS / "constraints-smartnoise.txt"
    digest = hashlib.sha256(script.read_bytes() + pins.read_bytes())
    digest.update(np.ascontiguousarray(codes, dtype="<u2").tobytes())
    digest.update(f"{method} {epsilon} {DELTA}".encode())
    target = CACHE / f"smartnoise-{digest.hexdigest()[:16]}.npz"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        source, partial = target.with_suffix(".in.npz"), target.with_suffix(".part.npz")
        np.savez(source, codes=codes)
        python = PEERS / "smartnoise" / "bin" / "python"
        arguments: list[str | Path] = [method, source, partial, str(epsilon), str(DELTA)]
        try:
            ended = subprocess.run(
                [python, "-m", "bench.generators.with_smartnoise", *arguments],
                cwd=ROOT,
                capture_output=True,
                preexec_fn=_limit,
                text=True,
            )
        finally:
            source.unlink()
        if ended.returncode == -signal.SIGXCPU:
            return None
        if ended.returncode:
            raise SystemExit(f"{method} failed: {ended.stderr.strip()[-500:]}")
        partial.replace(target)
    return target


def _limit() -> None:
    """Stop the process that is about to start after MOST_SECONDS of processor time."""
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 5))
