"""Pictures of privacy: what attacks found beside what theory allows, and what was audited."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist

from markupsafe import Markup

from silosynth.common.report.evaluation import Audit, Curve
from silosynth.common.report.numbers import percent
from silosynth.common.report.svg import element, path, picture, tooltip

_LEAST = 1e-4
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 20.0, 10.0, 42.0
_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_POINTS = 60
_NORMAL = NormalDist()
_Axis = Callable[[float], float]
_STYLES = 6


def limit(false_alarms: float, mu: float) -> float:
    """Return the most members that any attack finds at some false alarms: Phi(Phi^-1(f) + mu)."""
    if false_alarms >= 1:
        return 1.0
    return _NORMAL.cdf(_NORMAL.inv_cdf(false_alarms) + mu)


def draw_curves(
    curves: Sequence[Curve], mu: float | None, width: float = 460, height: float = 330
) -> Markup:
    """Draw ROC curves, both axes logarithmic: few false alarms are what an attacker needs."""
    x, y = _axis(_LEFT, width - _RIGHT), _axis(height - _BOTTOM, _TOP)
    alarms = [10 ** (-4 + 4 * i / (_POINTS - 1)) for i in range(_POINTS)]
    parts = [*_grid(x, y, width=width, height=height)]
    if mu is not None:
        allowed = [(f, limit(f, mu)) for f in alarms]
        area = [*((x(f), y(v)) for f, v in allowed), (x(1), y(_LEAST)), (x(_LEAST), y(_LEAST))]
        parts.append(element("path", d=path(area) + "Z", class_="allowed"))
        parts.append(element("path", d=_line(allowed, x, y), class_="limit"))
    guess = [(_LEAST, _LEAST), (1.0, 1.0)]
    parts.append(element("path", d=_line(guess, x, y), class_="guess"))
    for i, curve in enumerate(curves):
        shown = [(f, v) for f, v in curve.points if f >= _LEAST and v >= _LEAST]
        if shown:
            text = f"{curve.name}, {curve.people:,} other people"
            line = element("path", d=_line(shown, x, y), class_=curve_class(i))
            parts.append(element("g", tooltip(text), line))
    return picture(
        *parts,
        width=width,
        height=height,
        label="members that attacks find, by the share of others that they take for members",
        class_="curves",
    )


def curve_class(place: int) -> str:
    """Return how the curve at a place is drawn."""
    return f"curve c{place % _STYLES}"


def _axis(start: float, end: float) -> _Axis:
    """Return where a share lies on a logarithmic axis from 1 in 10,000 to 1."""

    def place(value: float) -> float:
        share = 1 + math.log10(max(value, _LEAST)) / -math.log10(_LEAST)
        return start + (end - start) * share

    return place


def _line(points: Iterable[tuple[float, float]], x: _Axis, y: _Axis) -> str:
    return path((x(f), y(v)) for f, v in points)


def _grid(x: _Axis, y: _Axis, *, width: float, height: float) -> list[Markup]:
    """Return lines at the powers of ten, and what both axes mean."""
    parts = []
    for value in _GRID:
        text = percent(value).replace(".00", "").replace(".0", "") if value > 1e-3 else None
        text = text or {1e-4: "0.01 %", 1e-3: "0.1 %"}[value]
        parts += [
            element("line", x1=x(value), x2=x(value), y1=_TOP, y2=height - _BOTTOM, class_="grid"),
            element("line", x1=_LEFT, x2=width - _RIGHT, y1=y(value), y2=y(value), class_="grid"),
            element("text", text, x=x(value), y=height - _BOTTOM + 15, class_="tick middle"),
            element("text", text, x=_LEFT - 6, y=y(value) + 4, class_="difference"),
        ]
    middle = (_LEFT + width - _RIGHT) / 2
    words = "others taken for members (false alarms); upwards: members found"
    return [*parts, element("text", words, x=middle, y=height - 6, class_="tick middle")]


def draw_audit(audit: Audit, width: float = 620) -> Markup:
    """Draw the epsilon that is claimed, and below it what an audit found at the least."""
    full = width - 190 - 70
    most = max(audit.claimed, audit.at_least) or 1.0
    rows = (
        ("claimed, at most", audit.claimed, "reference"),
        ("audited, at least", audit.at_least, "synthetic"),
    )
    parts: list[Markup] = []
    for i, (name, value, class_) in enumerate(rows):
        y, bar = 4 + 26 * i, full * value / most
        parts += [
            element("text", name, x=0, y=y + 14),
            element("rect", x=140, y=y + 3, width=max(bar, 1), height=14, class_=class_),
            element("text", f"{value:.3g}", x=146 + bar, y=y + 14),
        ]
    return picture(
        *parts,
        width=width,
        height=60,
        label=f"epsilon: claimed {audit.claimed:.3g}, audited at least {audit.at_least:.3g}",
        class_="paired",
    )
