"""NumPy against torch on the processor, one thread each: seconds of 20 iterations by cells.

Run it where torch is installed (the extra coordinator-gpu). On a machine with a GPU it adds that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np
import torch

from bench.fit.estimators import make_task
from bench.fit.problems import synthetic
from bench.support.results import Figure, publish
from silosynth.server.model.beliefs import move, uniform, view
from silosynth.server.model.descent import descend
from silosynth.server.model.engine import NUMPY, Engine
from silosynth.server.model.targets import move_objective
from silosynth.server.model.torch_engine import TorchEngine

ITERATIONS = 20
REPEATS = 5
SHAPES = ((14, 12, 1), (14, 30, 1), (14, 10, 2), (14, 10, 3), (14, 16, 3))


def figures() -> Iterator[Figure]:
    """Yield the best seconds of each engine and size."""
    torch.set_num_threads(1)
    contenders: dict[str, Engine] = {"NumPy": NUMPY, "torch, CPU": TorchEngine("cpu")}
    if torch.cuda.is_available():
        contenders["torch, CUDA"] = TorchEngine("cuda")
    for attributes, size, width in SHAPES:
        problem = synthetic(attributes=attributes, size=size, width=width, rows=20_000)
        task = make_task(problem)
        best = dict.fromkeys(contenders, np.inf)
        for _ in range(REPEATS):
            for name, engine in contenders.items():
                layout = move(task.layout, engine)
                objective = move_objective(task.objective, engine)
                begun = view(layout, engine.send(uniform(task.layout).flat))
                start = time.perf_counter()
                with np.errstate(all="ignore"):
                    descend(objective, begun, layout=layout, iterations=ITERATIONS, tolerance=0.0)
                best[name] = min(best[name], time.perf_counter() - start)
        cells = task.layout.tree.cells
        for name, seconds in best.items():
            yield Figure(
                figure=f"{cells:,} cells, {ITERATIONS} iterations, {name}",
                value=seconds,
                unit="s",
                peer=None if name == "NumPy" else best["NumPy"],
            )


if __name__ == "__main__":
    sys.exit(publish("engines", figures(), room="fit"))
