"""Ways to fit the same measurements: loss over the best known, against time. See decision 007.

Adult's MST tree and loopy model, of bench/fit, by normal noise of 41. All run on the same
calibrated tables, so a step costs all of them one pass over the tree.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from bench.fit.problems import Problem, adult_problems
from bench.support.results import Figure, publish
from silosynth.server.model import build_junction_tree
from silosynth.server.model.beliefs import Beliefs, Layout, lay_out, reweight, uniform, view
from silosynth.server.model.descent import descend, impose_targets
from silosynth.server.model.junction_tree import reorder
from silosynth.server.model.targets import (
    Objective,
    gather,
    merge_measurements,
    place_targets,
    scatter,
)

SECONDS = (0.05, 0.1, 0.2, 0.5)
SMOOTHINGS = (1e-2, 1e-3, 1e-4)
PROXIMAL_STEPS = 40
Trace = list[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What is minimised: an objective on a layout."""

    objective: Objective
    layout: Layout

    def shares(self, beliefs: Beliefs) -> np.ndarray:
        """Return the model's shares of all target cells."""
        return gather(self.objective, beliefs, out=np.empty(self.objective.values.size))

    def loss(self, beliefs: Beliefs) -> float:
        """Return the loss."""
        return self.objective.loss(self.shares(beliefs))


def make_task(problem: Problem) -> Task:
    """Lay out a problem as the fit does."""
    tree = build_junction_tree([m.clique for m in problem.measurements], domain=problem.domain)
    names = tuple(sorted(problem.domain.attributes, key=lambda a: problem.domain.size((a,))))
    inner = type(problem.domain)(attributes=names, shape=problem.domain.sizes(names))
    layout = lay_out(reorder(tree, domain=inner))
    targets = merge_measurements(problem.measurements, domain=inner)
    return Task(objective=place_targets(targets, layout=layout, total=problem.total), layout=layout)


def accelerated(task: Task) -> Trace:
    """Ours: targets imposed, then accelerated mirror descent."""
    trace = []
    for iterations in (0, 10, 20, 40, 80, 160, 320, 640, 1280):
        start = time.perf_counter()
        begun = closed_form_beliefs(task)
        found = descend(
            task.objective, begun, layout=task.layout, iterations=iterations, tolerance=0.0
        )
        trace.append((time.perf_counter() - start, found.losses[-1]))
    return trace


def closed_form_beliefs(task: Task) -> Beliefs:
    """Impose every target in turn, two sweeps: exact on a tree whose targets agree."""
    return impose_targets(
        uniform(task.layout), objective=task.objective, layout=task.layout, tolerated=0.0
    )


def closed_form(task: Task) -> Trace:
    """Project each target onto the simplex and impose it, without a descent."""
    start = time.perf_counter()
    found = closed_form_beliefs(task)
    return [(time.perf_counter() - start, task.loss(found))]


def mirror(task: Task) -> Trace:
    """Plain mirror descent with the step halved when the loss rises."""
    trace, start = [], time.perf_counter()
    now, spare = uniform(task.layout), uniform(task.layout)
    step, loss = 1000 / float(task.objective.precision.max()), task.loss(now)
    while time.perf_counter() - start < SECONDS[-1]:
        gradient = task.objective.precision * (task.shares(now) - task.objective.values)
        weights = scatter(task.objective, np.exp(-step * gradient))
        mass = reweight(now, weights, layout=task.layout, out=spare)
        tried = task.loss(spare) if np.isfinite(mass) else np.inf
        if tried < loss:
            now, spare, loss, step = spare, now, tried, step * 1.1
        else:
            step /= 2
        trace.append((time.perf_counter() - start, loss))
    return trace


def dual(task: Task) -> Trace:
    """L-BFGS on the dual of the loss plus a little entropy, for less and less of it."""
    trace, start = [], time.perf_counter()
    prior, multipliers = uniform(task.layout), np.zeros(task.objective.values.size)
    for smoothing in SMOOTHINGS:
        scale = smoothing * float(task.objective.precision.mean())
        found, multipliers = _solve_dual(task, prior, multipliers, scale=scale)
        trace.append((time.perf_counter() - start, task.loss(found)))
    return trace


def proximal(task: Task) -> Trace:
    """Proximal points: the dual again and again, each time around the last answer."""
    trace, start, now = [], time.perf_counter(), uniform(task.layout)
    scale = 1e-2 * float(task.objective.precision.mean())
    for _ in range(PROXIMAL_STEPS):
        now, _ = _solve_dual(
            task, now, np.zeros(task.objective.values.size), scale=scale, iterations=30
        )
        trace.append((time.perf_counter() - start, task.loss(now)))
    return trace


def _solve_dual(
    task: Task, prior: Beliefs, start: np.ndarray, *, scale: float, iterations: int = 300
) -> tuple[Beliefs, np.ndarray]:
    """Minimise loss + scale * KL(. || prior) by L-BFGS on its dual."""
    out = view(task.layout, prior.flat.copy())
    precision, values = task.objective.precision, task.objective.values

    def negative_dual(multipliers: np.ndarray) -> tuple[float, np.ndarray]:
        exponents = np.clip(-multipliers / scale, -600, 600)
        weights = scatter(task.objective, np.exp(exponents))
        log_mass = reweight(prior, weights, layout=task.layout, out=out)
        if not np.isfinite(log_mass):
            return 1e300, np.zeros_like(multipliers)
        quadratic = 0.5 * float((multipliers**2 / precision).sum())
        value = quadratic + float((multipliers * values).sum()) + scale * log_mass
        return value, multipliers / precision + values - task.shares(out)

    best = minimize(
        negative_dual, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations}
    ).x
    negative_dual(best)
    return view(task.layout, out.flat.copy()), best


METHODS: dict[str, Callable[[Task], Trace]] = {
    "accelerated mirror descent (ours)": accelerated,
    "closed form": closed_form,
    "mirror descent": mirror,
    "L-BFGS on the dual": dual,
    "proximal points": proximal,
}


def figures() -> Iterator[Figure]:
    """Yield the loss over the best known at several times."""
    for problem in adult_problems():
        task = make_task(problem)
        with np.errstate(all="ignore"):
            traces = {name: method(task) for name, method in METHODS.items()}
        best = min(loss for trace in traces.values() for _, loss in trace)
        for name, trace in traces.items():
            for seconds in SECONDS:
                reached = [loss for at, loss in trace if at <= seconds]
                if reached:
                    label = f"{problem.name}, {name}, {seconds:g} s"
                    yield Figure(figure=label, value=min(reached) / best, unit="loss over the best")
            at, loss = trace[-1]
            yield Figure(
                figure=f"{problem.name}, {name}, at its end ({at:.2f} s)",
                value=loss / best,
                unit="loss over the best",
            )


if __name__ == "__main__":
    sys.exit(publish("estimators", figures(), room="fit"))
