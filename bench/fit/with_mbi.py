"""Fit measurements with mbi 2.0's mirror descent. Runs in mbi's own environment.

In: an .npz with `shape`, `total`, `sigma`, and per measurement `clique_I` (columns), `values_I`.
Out: an .npz with, for each number of iterations asked, the marginals of the fitted model and the
least seconds of three fits; `cold` is the first fit of the process, compiling included.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from pathlib import Path

import numpy as np

# mbi warns about float32 and the compilation cache on import; what it asks for is set just below.
warnings.filterwarnings("ignore", category=UserWarning, module="mbi")
import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)
from mbi import Domain, LinearMeasurement, estimation  # noqa: E402


def load(path: Path) -> tuple[Domain, list[LinearMeasurement], float]:
    """Return the domain, the measurements and the total of a problem."""
    with np.load(path) as file:
        shape = [int(s) for s in file["shape"]]
        domain = Domain([f"a{i}" for i in range(len(shape))], shape)
        sigma = float(file["sigma"])
        count = sum(name.startswith("clique_") for name in file.files)
        measurements = [
            LinearMeasurement(
                file[f"values_{i}"], tuple(f"a{c}" for c in file[f"clique_{i}"]), sigma
            )
            for i in range(count)
        ]
        return domain, measurements, float(file["total"])


def main() -> None:
    """Fit once cold, then once for each number of iterations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--iterations", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    domain, measurements, total = load(arguments.source)
    found: dict[str, np.ndarray] = {}

    def fit(iterations: int, label: str) -> None:
        start = time.perf_counter()
        model = estimation.MirrorDescent().estimate(
            domain, measurements, known_total=total, iters=iterations
        )
        answers = [np.asarray(model.project(m.clique).datavector()) for m in measurements]
        elapsed = time.perf_counter() - start
        found[f"seconds_{label}"] = np.minimum(found.get(f"seconds_{label}", np.inf), elapsed)
        found.update({f"answer_{label}_{i}": a for i, a in enumerate(answers)})

    fit(arguments.iterations[0], "cold")
    for iterations in arguments.iterations * 3:
        fit(iterations, str(iterations))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    np.savez(arguments.target, allow_pickle=False, peak_bytes=peak, **found)


if __name__ == "__main__":
    main()
