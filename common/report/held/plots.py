"""Rulers of what people held out say: an interval, its estimate, and where it would be for none."""

from __future__ import annotations

from markupsafe import Markup

from silosynth.common.report.held.facts import HeldFacts, HeldOutFacts, Interval
from silosynth.common.report.numbers import DASH, count, plain
from silosynth.common.report.svg import element, path, picture

FEW = 1_000
"""Below so many people hardly anything but gain and AUC is told at epsilon 1."""
_WIDE = 420.0
_BESIDE = 150.0


def draw_distance(found: HeldFacts, width: float = _WIDE) -> Markup:
    """Draw a distance with its ends, independent columns beside it; right is better."""
    if found.distance is None:
        return Markup("")
    most = max(v for v in (found.independent, found.distance.high or 0.0)) * 1.06 or 1.0
    return _ruler(found.distance, floor=found.independent, ends=(most, 0.0), width=width)


def draw_gain(found: HeldFacts, whole: HeldOutFacts, width: float = _BESIDE) -> Markup:
    """Draw a gain with its ends, beside those of the other silos on one line."""
    if found.gain is None:
        return Markup("")
    gains = [f.gain for f in (whole.whole, *whole.silos) if f.gain is not None]
    values = [v for g in gains for v in (g.low, g.value, g.high) if v is not None]
    low, high = min(0.0, *values), max(0.0, *values)
    return _ruler(found.gain, floor=0.0, ends=(low, high if high > low else low + 1.0), width=width)


def draw_area(auc: Interval, width: float = _WIDE) -> Markup:
    """Draw an AUC with its ends, from guessing to knowing."""
    low = min(0.5, auc.value or 0.5, auc.low if auc.low is not None else 0.5)
    return _ruler(auc, floor=0.5, ends=(low, 1.0), width=width)


def held_rows(found: HeldOutFacts) -> list[tuple[str, str, Markup, str]]:
    """Return (what, how it is read, ruler, number with its ends) for the section's rulers."""
    whole = found.whole
    rows = []
    if whole.distance is not None:
        tail = f"independent columns {whole.independent:.4f}"
        rows.append(("Pairs of columns", tail, draw_distance(whole), between(whole.distance, 4)))
    rows += [
        (a.target, "AUC; guessing 0.5", draw_area(a.auc), between(a.auc, 3)) for a in whole.areas
    ]
    return rows


def between(interval: Interval | None, digits: int) -> str:
    """Write an estimate with its ends.

    >>> between(Interval(value=0.5, low=0.25, high=0.75), 2)
    '0.50 (0.25 to 0.75)'
    """
    if interval is None or interval.value is None:
        return DASH
    ends = [f"{v:,.{digits}f}" for v in (interval.low, interval.high) if v is not None]
    shown = f"{interval.value:,.{digits}f}"
    return f"{shown} ({' to '.join(ends)})" if len(ends) == 2 else shown


def near_words(found: HeldFacts) -> str:
    """Say how many people's sample is as near; a dash where so many people cannot tell."""
    if found.distance is None:
        return DASH
    if found.near.value is None:
        return "more than can be told"
    least = "" if found.near.low is None else f" (at least {count(round(found.near.low))})"
    return f"{count(round(found.near.value))}{least}"


def few_words(found: HeldOutFacts) -> str:
    """Say what so few people cannot tell; nothing where there are enough."""
    people = found.whole.people.value or 0.0
    if found.whole.distance is None:
        return (
            f"About {plain(float(round(people)))} people cannot tell how near pairs of columns "
            "are under this noise: the upper end would lie above twice what independent columns "
            "reach, so no distance is printed. What is printed holds with its ends, which are wide."
        )
    if people < FEW:
        return (
            f"About {plain(float(round(people)))} people tell a good sampler from a bad one, and "
            "two that are like one another not: look at the ends, not at the estimates."
        )
    return ""


def _ruler(interval: Interval, *, floor: float, ends: tuple[float, float], width: float) -> Markup:
    """Draw an interval on a line from the worse of two ends to the better."""
    worse, better = ends

    def place(value: float) -> float:
        share = (value - worse) / (better - worse)
        return 8 + (width - 16) * min(max(share, 0.0), 1.0)

    y, mark = 13.0, place(floor)
    parts = [
        element("line", x1=4, x2=width - 4, y1=y, y2=y, class_="axis"),
        element("line", x1=mark, x2=mark, y1=y - 8, y2=y + 8, class_="floor"),
    ]
    if interval.low is not None and interval.high is not None:
        first, last = sorted((place(interval.low), place(interval.high)))
        whisker = path([(first, y - 5), (first, y + 5)]) + path([(first, y), (last, y)])
        parts.append(
            element("path", d=whisker + path([(last, y - 5), (last, y + 5)]), class_="whisker")
        )
    value = interval.value
    if value is not None:
        parts.append(element("circle", cx=place(value), cy=y, r=4.5, class_="here"))
    label = "not known" if value is None else f"{value:.4g}"
    return picture(*parts, width=width, height=26, label=label, class_="ruler")
