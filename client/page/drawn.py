"""What is drawn on the silo's page: shares of a budget, and what was spent over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from markupsafe import Markup

from silosynth.client.desk import Facts
from silosynth.common.report import element, path, picture

_WIDTH, _HEIGHT, _MARGIN, _FOOT = 640.0, 200.0, 8.0, 22.0
_MOST_POINTS = 500


def draw_share(budget: Facts) -> Markup:
    """Draw how much of a budget is spent, how much a plan would take, and what is left."""
    asks, left = float(budget["share"]), float(budget["left"])
    spent = max(0.0, 1.0 - left)
    fits = min(asks, left)
    widths = (("spent", spent), ("asks", fits), ("left", max(0.0, left - fits)))
    parts, at = [], 0.0
    for name, share in widths:
        parts.append(element("rect", x=at, y=0, width=100 * share, height=4, class_=name))
        at += 100 * share
    words = f"{spent:.0%} is spent, this would take {asks:.1%}, of which {left:.0%} was left"
    return element(
        "svg",
        *parts,
        viewBox="0 0 100 4",
        preserveAspectRatio="none",
        role="img",
        aria_label=words,
        class_="share",
    )


def draw_spent(releases: Sequence[Facts]) -> Markup:
    """Draw the sum of what releases cost, as zCDP rho over time, as a line of steps."""
    if not releases:
        return Markup("")
    times = [datetime.fromisoformat(str(r["at"])).timestamp() for r in releases]
    sums = list(accumulate(float(r["rho"]) for r in releases))
    first, span, most = times[0], max(times[-1] - times[0], 1.0), max(sums[-1], 1e-12)
    every = max(1, len(times) // _MOST_POINTS)
    kept = [i for i in range(len(times)) if i % every == 0 or i == len(times) - 1]
    points, height = [(_MARGIN, _HEIGHT - _FOOT)], _HEIGHT - _FOOT
    for i in kept:
        x = _MARGIN + (times[i] - first) / span * (_WIDTH - 2 * _MARGIN)
        y = height - sums[i] / most * (height - 2 * _MARGIN)
        points += [(x, points[-1][1]), (x, y)]
    begun, ended = (str(releases[i]["at"])[:16].replace("T", " ") for i in (0, -1))
    return picture(
        element("line", x1=_MARGIN, y1=height, x2=_WIDTH - _MARGIN, y2=height),
        element("path", d=path(points)),
        element("text", begun, x=_MARGIN, y=_HEIGHT - 6),
        element("text", ended, x=_WIDTH - _MARGIN, y=_HEIGHT - 6, text_anchor="end"),
        element("text", f"rho {sums[-1]:.4g}", x=_WIDTH - _MARGIN, y=14, text_anchor="end"),
        width=_WIDTH,
        height=_HEIGHT,
        label=f"Spent over time: zCDP rho {sums[-1]:.4g} by {ended}, from {begun}",
        class_="curve",
    )
