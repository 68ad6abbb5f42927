"""Measure the methods projection and votes beside their peers, through real gateways.

2-way distances are to the rows that were trained on; accuracy is of a classifier that learns from
the synthetic rows and is asked about rows that nobody trained on. QUICK=1: the two small tables,
and messages once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from bench.generators.run import DELTA, say
from bench.seed import local, pictures, votes
from bench.seed.tables import REPORTED, TABLES, Ground, load_ground, pair_distance
from bench.support.results import Figure, is_quick, publish
from bench.support.tables import encode
from silosynth.common.sampler.sampler import draw
from silosynth.common.scores.metrics import bootstrap, independent_columns
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate

METHODS = ("copula", "projection", "central", "votes", "one-shot")
"""Copula is the peer of those behind it; central and votes are for images here."""
OF_IMAGES = ("central", "votes")
TRUST = ("own", "shared")
EPSILONS = (1.0, 10.0)
QUICK_TABLES = ("penguins", "heart_disease")
QUICK_FREQUENCIES = 64
MEASURES = ("2-way distance", "accuracy")


def measure(
    name: str,
    *,
    epsilon: float,
    methods: tuple[str, ...],
    runs: int,
    dimensions: int | None,
    delta: float = DELTA,
) -> Iterator[Figure]:
    """Yield the figures of a table at one budget, copula's as the peer of the others."""
    ground = load_ground(name)
    real = ground.train
    label = f"{name}, epsilon {epsilon:g}" + (f", delta {delta:g}" if delta != DELTA else "")
    peers: dict[str, float] = {}
    for trust in TRUST[1:] if is_quick() else TRUST:
        for method in (
            m for m in METHODS if m in methods and (ground.images or m not in OF_IMAGES)
        ):
            found = np.array(
                [
                    _run(
                        ground,
                        real,
                        method,
                        epsilon=epsilon,
                        delta=delta,
                        trust=trust,
                        dimensions=dimensions,
                    )
                    for _ in range(runs)
                ]
            )
            for value, values, what in zip(
                found.mean(axis=0), found.T, (*MEASURES, "run"), strict=True
            ):
                figure = f"{label}, {trust} noise, {method}, {what}"
                peer = peers.get(f"{trust}, {what}")
                if method == "copula":
                    peers[f"{trust}, {what}"] = float(value)
                yield Figure(
                    figure=figure,
                    value=float(value),
                    spread=float(np.ptp(values)) / 2 if runs > 1 else None,
                    unit={"run": "CPU s", "accuracy": "share"}.get(what, "TV"),
                    peer=None if method == "copula" else peer,
                )


def references(name: str) -> Iterator[Figure]:
    """Yield the scores of the best and the worst table that could be expected."""
    ground = load_ground(name)
    real = ground.train
    columns = tuple(real.T)
    for what, made in (
        ("bootstrap of the real rows", bootstrap(columns, seed=0)),
        ("independent columns", independent_columns(columns, seed=0)),
    ):
        for value, measured in zip(
            _score(ground, real, np.stack(made, axis=1)), MEASURES, strict=True
        ):
            unit = "share" if measured == "accuracy" else "TV"
            yield Figure(figure=f"{name}, {what}, {measured}", value=value, unit=unit)
    if ground.images:
        drawn = pictures.without_votes(ground.schema, real)
        for value, measured in zip(_score(ground, real, drawn), MEASURES, strict=True):
            unit = "share" if measured == "accuracy" else "TV"
            figure = f"{name}, the renderer without votes, {measured}"
            yield Figure(figure=figure, value=value, unit=unit)


def _run(
    ground: Ground,
    real: np.ndarray,
    method: str,
    *,
    epsilon: float,
    delta: float,
    trust: str,
    dimensions: int | None,
) -> list[float]:
    """Return the scores of what a method makes in the silos, and its processor seconds."""
    quick: dict[str, Any] = (
        {"frequencies": QUICK_FREQUENCIES} if is_quick() and method == "one-shot" else {}
    )
    plan = new_plan(
        ground.schema,
        epsilon=epsilon,
        delta=delta,
        silos=tuple(ground.silos),
        method=method,
        trust=trust,
        dimensions=dimensions,
        **quick,
    )
    start = time.process_time()
    result = simulate(
        plan,
        schema=ground.schema,
        silos=dict(ground.silos),
        engine="local",
        generator=pictures.RENDERER if method == "votes" else None,
    )
    seconds = time.process_time() - start
    drawn: pa.Table = draw(result.sampler, rows=len(real), seed=1, threads=1)
    found = _score(ground, real, encode(drawn, schema=ground.schema))
    say(
        f"{ground.schema.name}, epsilon {epsilon:g}, {trust} noise, {method}: distance "
        f"{found[0]:.4f}, accuracy {found[1]:.3f}, {seconds:.0f} s of processor time"
    )
    return [*found, seconds]


def _score(ground: Ground, real: np.ndarray, codes: np.ndarray) -> list[float]:
    """Return the mean 2-way distance and the accuracy."""
    return [pair_distance(real, codes, schema=ground.schema), ground.accuracy(codes)]


def main() -> int:
    """Measure the tables that are named, or all that are reported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", nargs="*", help=f"of {', '.join(TABLES)}")
    parser.add_argument("--epsilon", type=float, nargs="*", help="1 and 10 without")
    parser.add_argument("--method", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--repeat", type=int, default=1 if is_quick() else 3)
    parser.add_argument("--local", action="store_true", help="samplers of single silos instead")
    parser.add_argument("--delta", type=float, default=DELTA)
    parser.add_argument("--votes", action="store_true", help="the method votes, on messages")
    parser.add_argument("--candidates", type=int, help="of votes; the method's own without")
    parser.add_argument("--rounds", type=int, help="of votes; the method's own without")
    parser.add_argument("--tuning", action="store_true", help="of votes: on the tuning split")
    parser.add_argument("--dimensions", type=int, help="of projections; the method's own without")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    codes = [0]
    if asked.votes or not (asked.table or asked.local):
        figures = votes.measure(
            runs=asked.repeat,
            candidates=asked.candidates,
            rounds=asked.rounds,
            tuning=asked.tuning,
        )
        name = "seed-messages-tuning" if asked.tuning else "seed-messages"
        codes.append(publish(name, figures, room="seed", update=True))
        if asked.votes:
            return max(codes)
    if asked.local:
        for name in asked.table or local.PLACES:
            for epsilon in asked.epsilon or EPSILONS:
                figures = local.measure(name, epsilon=epsilon, runs=asked.repeat)
                codes.append(publish("seed-local", figures, room="seed", update=True))
        return max(codes)
    for name in asked.table or (QUICK_TABLES if is_quick() else REPORTED):
        codes.append(publish(f"seed-{name}", references(name), room="seed", update=True))
        for epsilon in asked.epsilon or (EPSILONS[:1] if is_quick() else EPSILONS):
            figures = measure(
                name,
                epsilon=epsilon,
                methods=tuple(asked.method),
                runs=asked.repeat,
                dimensions=asked.dimensions,
                delta=asked.delta,
            )
            codes.append(publish(f"seed-{name}", figures, room="seed", update=True))
    return max(codes)


if __name__ == "__main__":
    raise SystemExit(main())
