"""Draw the curves of the AIM benchmark from its numbers: PNG beside the JSON.

Runs in an environment of its own (bench/peers/setup.py plots), since matplotlib is no dependency.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

RESULTS = Path(__file__).resolve().parent / "results"
CURVE = re.compile(r"adult, epsilon (?P<epsilon>[\d.]+), (?P<who>.*): (?P<way>[23]-way|AUC)")
SPLIT = re.compile(r"(?P<ground>.*), epsilon 1, (?P<split>\d+ silos, \w+), (?P<who>.*): 2-way")


def read(pattern: re.Pattern[str], files: str) -> list[tuple[dict[str, str], float, float]]:
    """Return the figures whose names match, with their spread."""
    found = []
    for path in sorted(RESULTS.glob(files)):
        for fact in json.loads(path.read_text()):
            if match := pattern.fullmatch(fact["figure"]):
                found.append((match.groupdict(), fact["value"], fact["spread"] or 0.0))
    return found


def draw_epsilons() -> None:
    """Draw distance and AUC by epsilon on Adult."""
    figure, axes = pyplot.subplots(1, 3, figsize=(14, 4), sharex=True)
    facts = read(CURVE, "aim-adult-*.json")
    for axis, way in zip(axes, ("2-way", "3-way", "AUC"), strict=True):
        for i, who in enumerate(dict.fromkeys(f["who"] for f, _, _ in facts)):
            points = sorted(
                (float(f["epsilon"]), value, spread)
                for f, value, spread in facts
                if f["who"] == who and f["way"] == way
            )
            if points:
                at, values, spreads = zip(*points, strict=True)
                axis.errorbar(at, values, spreads, marker="o", capsize=3, label=who, color=f"C{i}")
        axis.set(xscale="log", xlabel="epsilon")
        axis.set_xticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
        axis.minorticks_off()
        if way == "AUC":
            axis.set(ylabel="AUC of gradient boosting on real rows")
        else:
            axis.set(ylabel=f"mean {way} distance", ylim=(0, None))
    axes[0].legend()
    figure.suptitle("Adult, one silo's noise")
    figure.tight_layout()
    figure.savefig(RESULTS / "aim-epsilon.png", dpi=110)


def draw_splits() -> None:
    """Draw distance by split with own noise at epsilon 1."""
    facts = read(SPLIT, "aim-rivals-*.json")
    splits = list(dict.fromkeys(f"{f['ground']}, {f['split']}" for f, _, _ in facts))
    names = list(dict.fromkeys(f["who"] for f, _, _ in facts))
    figure, axis = pyplot.subplots(figsize=(10, 4))
    for i, who in enumerate(names):
        own = {f"{f['ground']}, {f['split']}": (v, s) for f, v, s in facts if f["who"] == who}
        at = [k + 0.8 * i / len(names) for k in range(len(splits))]
        values = [own.get(split, (0.0, 0.0)) for split in splits]
        axis.bar(
            at,
            [v for v, _ in values],
            width=0.8 / len(names),
            yerr=[s for _, s in values],
            label=who,
        )
    axis.set_xticks([k + 0.3 for k in range(len(splits))], splits)
    axis.set_ylabel("mean 2-way distance, epsilon 1, own noise")
    axis.legend()
    figure.tight_layout()
    figure.savefig(RESULTS / "aim-splits.png", dpi=110)


if __name__ == "__main__":
    draw_epsilons()
    draw_splits()
