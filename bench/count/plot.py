"""Draw counting time against rows, in the peers' environment: points as JSON in, a PNG out."""

from __future__ import annotations

import json
import sys

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot


def main() -> None:
    """Draw one line a contender, both axes logarithmic."""
    lines = json.loads(sys.argv[1])
    figure, axes = pyplot.subplots(figsize=(6, 4), dpi=120)
    for label, points in lines.items():
        axes.plot([p[0] for p in points], [p[1] for p in points], marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds")
    axes.set_title("105 pairs of 15 columns")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Software": None})


if __name__ == "__main__":
    main()
