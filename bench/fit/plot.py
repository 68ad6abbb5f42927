"""Draw how fitting grows: points as JSON in, a PNG out. Runs in the environment ``plots``."""

from __future__ import annotations

import json
import sys

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

TITLES = {
    "attributes": "attributes (20 codes, tree)",
    "width": "width (30 attributes, 8 codes)",
    "rows": "rows (50 attributes, 20 codes, tree)",
}


def main() -> None:
    """Draw one panel for what grows, seconds on the left and memory on the right."""
    lines = json.loads(sys.argv[1])
    figure, panels = pyplot.subplots(1, len(lines), figsize=(12, 3.6), dpi=110)
    for axes, (along, points) in zip(panels, lines.items(), strict=True):
        at, spent, held = zip(*points, strict=True)
        axes.plot(at, spent, marker="o", label="seconds")
        axes.plot(at, held, marker="s", linestyle="--", label="MiB")
        axes.set(yscale="log", xlabel=TITLES[along])
        if along != "width":
            axes.set_xscale("log")
        axes.set_xticks(at, [f"{n:,}" for n in at])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].legend()
    panels[0].set_ylabel("one fit, 1,000 iterations at most")
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Software": None})


if __name__ == "__main__":
    main()
