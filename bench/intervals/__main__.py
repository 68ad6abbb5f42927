"""How often intervals from replicates cover: shares and logistic coefficients, simulated truths.

``make bench-intervals``. Every truth is drawn anew over five columns; 5,000 people of it are split
over the silos, a run is made, and intervals of 95 % of every 1-way and pair share and of the
coefficients of one logistic regression are held against the truth. ``tree``: each column depends on
one other, as MST's models can. ``loops``: on two, which no tree holds; what that costs is reported
and has no gate. ``weak``: on two and hardly, so that AIM finds most of it hidden by the noise and
holds those columns apart. ``mixture`` asks all pairs, and draws them together. Each truth's counts
are kept under bench/.peers and each case's figures are published as they come, so that a bench that
was stopped goes on; ``spread`` is the standard error over truths.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations, product

import numpy as np
import pyarrow as pa

from bench.peers.run import CACHE
from bench.support.results import ROOT, Figure, is_quick, publish
from silosynth.common.estimate import (
    Modelled,
    estimate_regression,
    estimate_share,
    parse_formula,
)
from silosynth.common.estimate.replicates import Replicated
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.coordinator import draw_replicates
from silosynth.server.planning import new_plan
from silosynth.simulations.run import simulate

SIZES = {"a": 3, "b": 4, "c": 2, "d": 5, "e": 2}
PEOPLE, TRUTHS, COUNT = 5_000, 100, 20
FORMULA = parse_formula("e=1 ~ a + b + c")
CASES = (
    *((e, "mst", n, "tree") for n in (1, 10) for e in (0.3, 1.0, 8.0)),
    *((e, "aim", n, "tree") for n in (1, 10) for e in (0.3, 1.0, 8.0)),
    *((e, "mixture", n, "tree") for n in (1, 10) for e in (0.3, 1.0, 8.0)),
    (1.0, "aim", 1, "loops"),
    (0.3, "aim", 1, "weak"),
    (1.0, "aim", 10, "weak"),
    (1.0, "mixture", 1, "loops"),
)
LOWEST, HIGHEST = 0.90, 0.98


def main() -> int:
    """Walk all cases and publish how often their intervals covered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truths", type=int, default=TRUTHS, help="of each case")
    cases, truths = CASES, parser.parse_args().truths
    if is_quick():
        cases, truths = CASES[1:2], 2
    missed = 0
    for case in cases:
        figures = tuple(figures_of(*case, truths=truths))
        missed |= publish("intervals", figures, room="intervals", update=True)
    return missed


def figures_of(
    epsilon: float, method: str, silos: int, truth: str, *, truths: int
) -> Iterator[Figure]:
    """Yield how often intervals of each kind of estimate covered in one case."""
    covered: dict[str, list[float]] = defaultdict(list)
    for number in range(truths):
        found = kept(epsilon, method=method, silos=silos, truth=truth, number=number)
        for what, share in found.items():
            covered[what].append(share)
    gated = truth == "tree" and not is_quick()
    for what, shares in covered.items():
        yield Figure(
            figure=f"{what}, epsilon {epsilon:g}, {method}, {silos} silos, {truth}",
            value=float(np.mean(shares)),
            spread=float(np.std(shares, ddof=1) / np.sqrt(len(shares))),
            unit=f"covered, {truths} truths",
            at_least=LOWEST if gated else None,
            at_most=HIGHEST if gated else None,
        )


def kept(epsilon: float, *, method: str, silos: int, truth: str, number: int) -> dict[str, float]:
    """Return :func:`coverage`, or what it came to before with the same code."""
    question = repr((epsilon, method, silos, truth, number, _code()))
    target = CACHE / f"intervals-{hashlib.sha256(question.encode()).hexdigest()[:16]}.json"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        hits = coverage(epsilon, method=method, silos=silos, truth=truth, number=number)
        partial = target.with_suffix(".tmp")
        partial.write_text(json.dumps({what: float(np.mean(h)) for what, h in hits.items()}))
        partial.replace(target)
    found: dict[str, float] = json.loads(target.read_text())
    return found


@cache
def _code() -> str:
    """Return the digest of the code that a truth's counts depend on."""
    digest = hashlib.sha256()
    for room in ("bench/intervals", "common", "server", "simulations"):
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def coverage(
    epsilon: float, *, method: str, silos: int, truth: str, number: int
) -> dict[str, list[bool]]:
    """Return, by kind of estimate, whether each interval of one truth covered."""
    covered: dict[str, list[bool]] = defaultdict(list)
    rng = np.random.default_rng([number, silos, round(10 * epsilon)])
    joint = TRUTH[truth](rng)
    cells = rng.choice(joint.size, PEOPLE, p=joint.ravel())
    codes = np.stack(np.unravel_index(cells, joint.shape))
    replicated = run(schema_of(), codes, epsilon=epsilon, method=method, silos=silos, seed=number)
    hold(covered, replicated, joint)
    return covered


def run(
    schema: Schema, codes: np.ndarray, *, epsilon: float, method: str, silos: int, seed: int
) -> Replicated:
    """Return a run's sampler and its replicates."""
    table = pa.table({n: c.astype(str) for n, c in zip(SIZES, codes, strict=True)})
    parts = {f"s{i}": table.take(np.arange(i, PEOPLE, silos)) for i in range(silos)}
    plan = new_plan(schema, epsilon=epsilon, delta=1e-6, silos=tuple(parts), method=method)
    done = simulate(plan, schema=schema, silos=parts, engine="local")
    assert isinstance(done.sampler, Modelled)
    others = draw_replicates(done.state, done.outcome, count=COUNT, seed=seed)
    return Replicated(sampler=done.sampler, others=tuple(others))


def hold(covered: dict[str, list[bool]], replicated: Replicated, joint: np.ndarray) -> None:
    """Note whether the intervals of all estimates hold the truth."""
    names = list(SIZES)
    for size, what in ((1, "1-way shares"), (2, "pair shares")):
        for clique in combinations(range(len(names)), size):
            truth = joint.sum(axis=tuple(i for i in range(len(names)) if i not in clique))
            for cell in product(*(range(joint.shape[i]) for i in clique)):
                where = {names[i]: str(code) for i, code in zip(clique, cell, strict=True)}
                found = estimate_share(replicated, where)[0]
                covered[what].append(bool(found.low <= truth[cell] <= found.high))
    regressed = estimate_regression(replicated, FORMULA)
    true = coefficients(joint, tuple(i.name for i in regressed))
    for found, value in zip(regressed, true, strict=True):
        covered["logistic coefficients"].append(bool(found.low <= value <= found.high))


def coefficients(joint: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return the truth's coefficients of 0 and 1 for each ``column=label``, by Newton's method."""
    codes = np.stack(np.unravel_index(np.arange(joint.size), joint.shape))
    column, shares = dict(zip(SIZES, codes, strict=True)), joint.ravel()
    parts = [name.split("=") for name in names]
    inputs = [(column[name] == int(label)).astype(np.float64) for name, label in parts]
    design, answer = np.stack([np.ones(joint.size), *inputs], axis=1), column["e"] == 1
    found = np.zeros(design.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-design @ found))
        bend = (design * (shares * chance * (1 - chance))[:, None]).T @ design
        found += np.linalg.solve(bend, design.T @ (shares * (answer - chance)))
    return found[1:]


def draw_tree(rng: np.random.Generator) -> np.ndarray:
    """Return a joint in which b and d and e depend on a, and c on b."""
    a, b, c, d, e = (_given(rng, *shape) for shape in ((3,), (3, 4), (4, 2), (3, 5), (3, 2)))
    joint: np.ndarray = np.einsum("a,ab,bc,ad,ae->abcde", a, b, c, d, e)
    return joint


def draw_loops(rng: np.random.Generator) -> np.ndarray:
    """Return a joint in which c depends on a and b, and e on a and d."""
    return _loops(rng, alike=2.0)


def draw_weak(rng: np.random.Generator) -> np.ndarray:
    """Return a joint as of :func:`draw_loops`, in which all of it hardly matters."""
    return _loops(rng, alike=20.0)


def _loops(rng: np.random.Generator, *, alike: float) -> np.ndarray:
    shapes = ((3,), (3, 4), (3, 4, 2), (3, 5), (3, 5, 2))
    a, b, c, d, e = (_given(rng, *s, alike=alike) for s in shapes)
    joint: np.ndarray = np.einsum("a,ab,abc,ad,ade->abcde", a, b, c, d, e)
    return joint


def _given(rng: np.random.Generator, *shape: int, alike: float = 2.0) -> np.ndarray:
    """Return a table whose last axis adds up to one; its rows are the more ``alike``."""
    return rng.dirichlet([alike] * shape[-1], size=shape[:-1])


TRUTH: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "tree": draw_tree,
    "loops": draw_loops,
    "weak": draw_weak,
}


def schema_of() -> Schema:
    """Return the schema of the truths."""
    return parse_schema(
        {
            "name": "truth",
            "attributes": [
                {"name": n, "kind": "categorical", "other": False, "source": "declared"}
                | {"categories": [str(i) for i in range(size)]}
                for n, size in SIZES.items()
            ],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
