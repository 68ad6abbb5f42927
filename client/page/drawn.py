"""What is drawn on the silo's page: shares of a budget, and what was spent over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from markupsafe import Markup

from silosynth.client.desk import Facts
from silosynth.common.report import element, path, picture

_WIDTH, _HEIGHT, _MARGIN = 640.0, 180.0, 4.0
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


def draw_spent(releases: Sequence[Facts], *, now: datetime) -> Markup:
    """Draw the sum of what releases cost, as zCDP rho from the first until now, as steps."""
    if not releases:
        return Markup("")
    times = [datetime.fromisoformat(str(r["at"])).timestamp() for r in releases]
    sums = list(accumulate(float(r["rho"]) for r in releases))
    first, most = times[0], max(sums[-1], 1e-12)
    span = max(now.timestamp() - first, times[-1] - first, 1.0)
    every = max(1, len(times) // _MOST_POINTS)
    kept = [i for i in range(len(times)) if i % every == 0 or i == len(times) - 1]
    points = [(_MARGIN, _HEIGHT)]
    for i in kept:
        x = _MARGIN + (times[i] - first) / span * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - sums[i] / most * (_HEIGHT - 2 * _MARGIN)
        points += [(x, points[-1][1]), (x, y)]
    points.append((_WIDTH - _MARGIN, points[-1][1]))
    return picture(
        element("line", x1=_MARGIN, y1=_HEIGHT, x2=_WIDTH - _MARGIN, y2=_HEIGHT),
        element("path", d=path(points)),
        width=_WIDTH,
        height=_HEIGHT + 1,
        label=f"Spent over time: zCDP rho {sums[-1]:.4g} in {len(releases)} releases by now",
        class_="curve",
    )
