"""The curves of a sweep: distance and virtual time over what is varied, with their ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from silosynth.common.report import element, fit, path, picture, plain, tooltip
from silosynth.simulations.sweep.axes import Axis
from silosynth.simulations.world import SECOND, spell_span

_COLOURS = ("#2f6fb0", "#c0392b", "#3c8d40", "#7a55a8", "#e0a63c", "#4d4d4d")
_LEFT, _TOP, _WIDE, _HIGH, _GAP = 70.0, 64.0, 380.0, 240.0, 90.0
_MANY_TIMES, _MARGIN, _NAME_WIDE = 8.0, 0.08, 34.0
_PANELS = (
    ("distance_2", "mean distance of pairs (0: the same table)"),
    ("virtual_seconds", "virtual time"),
)


def curves_picture(facts: Mapping[str, Any], *, axes: Sequence[Axis]) -> str:
    """Return the curves as an SVG file; the same facts give the same bytes."""
    first, second = axes[0], axes[1] if len(axes) > 1 else None
    width = 2 * (_LEFT + _WIDE) + _GAP
    height = _TOP + _HIGH + 90
    drawn = [
        element("rect", width=width, height=height, fill="#ffffff"),
        element("text", _title(facts, axes), x=12, y=22, font_size=15, font_weight="bold"),
        *_legend(second, y=height - 14),
    ]
    for i, (name, words) in enumerate(_PANELS):
        left = _LEFT + i * (_WIDE + _GAP)
        drawn += _panel(facts, name, words, first=first, second=second, left=left)
    image = picture(
        element("g", *drawn, font_family="DejaVu Sans, Arial, sans-serif", fill="#222"),
        width=width,
        height=height,
        label=_title(facts, axes),
    )
    return str(image).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _title(facts: Mapping[str, Any], axes: Sequence[Axis]) -> str:
    return f"{facts['method']} over {' and '.join(axis.label for axis in axes)}"


def _legend(second: Axis | None, *, y: float) -> list[Markup]:
    """Say which curve is which."""
    drawn, x = [], _LEFT
    for i, value in enumerate(second.values if second else ()):
        word = f"{second.label} {value}" if second else value
        colour = _COLOURS[i % len(_COLOURS)]
        drawn += [
            element("rect", x=x, y=y - 9, width=10, height=10, fill=colour),
            element("text", word, x=x + 14, y=y, font_size=11),
        ]
        x += 30 + 6.8 * len(word)
    return drawn


def _panel(
    facts: Mapping[str, Any],
    name: str,
    words: str,
    *,
    first: Axis,
    second: Axis | None,
    left: float,
) -> list[Markup]:
    """Draw one number over the first axis, a curve for each value of the second."""
    found = {
        (p["point"][first.name.value], p["point"].get(second.name.value) if second else None): p
        for p in facts["points"]
    }
    known = [p[name]["most"] for p in found.values() if name in p]
    most = max(known, default=0.0) or 1.0
    parts, scale = _spread(first)
    spots = {v: left + part * _WIDE for v, part in parts.items()}
    drawn = [
        element("text", words, x=left, y=_TOP - 14, font_size=12, font_weight="bold"),
        *_frame(name, most, spots=spots, label=first.label + scale, left=left),
    ]
    for i, value in enumerate(second.values if second else (None,)):
        points = [
            (spots[v], v, found[v, value][name])
            for v in sorted(first.values, key=spots.__getitem__)
            if name in found[v, value]
        ]
        drawn += _curve(name, points, most=most, colour=_COLOURS[i % len(_COLOURS)])
    return drawn


def _spread(axis: Axis) -> tuple[dict[str, float], str]:
    """Return how far along the axis each value stands, 0 to 1, and what is said of the scale.

    Numbers stand where they are: by their logarithms where the largest is many times the smallest.
    What is no number stands at equal steps.
    """
    numbers = axis.numbers()
    if numbers is None or len(numbers) < 2:
        count = len(axis.values)
        return {v: (i + 0.5) / count for i, v in enumerate(axis.values)}, ""
    least, most = min(numbers.values()), max(numbers.values())
    if least > 0 and most >= _MANY_TIMES * least:
        ends = math.log(least), math.log(most)
        at, words = {v: math.log(n) for v, n in numbers.items()}, " (logarithmic)"
    else:
        ends, at, words = (least, most), numbers, ""
    wide = 1 - 2 * _MARGIN
    return {v: _MARGIN + wide * (n - ends[0]) / (ends[1] - ends[0]) for v, n in at.items()}, words


def _apart(spots: Mapping[str, float]) -> Mapping[str, float]:
    """Return the values whose names do not lie over one another; the others' points say them."""
    kept: dict[str, float] = {}
    for value, x in sorted(spots.items(), key=lambda item: item[1]):
        if not kept or x - max(kept.values()) >= _NAME_WIDE:
            kept[value] = x
    return kept


def _frame(
    name: str, most: float, *, spots: Mapping[str, float], label: str, left: float
) -> list[Markup]:
    """Draw the axes: values below, numbers at the left."""
    bottom = _TOP + _HIGH
    drawn = [
        element(
            "path",
            d=path([(left, _TOP), (left, bottom), (left + _WIDE, bottom)]),
            fill="none",
            stroke="#888",
        )
    ]
    for part in (0.0, 0.5, 1.0):
        y = bottom - part * _HIGH
        drawn.append(
            element(
                "text",
                _number(name, part * most),
                x=left - 6,
                y=y + 4,
                font_size=10,
                text_anchor="end",
            )
        )
        drawn.append(
            element("path", d=path([(left, y), (left + _WIDE, y)]), stroke="#e4e4e4", fill="none")
        )
    for value, x in _apart(spots).items():
        drawn.append(
            element("text", fit(value, 10), x=x, y=bottom + 16, font_size=10, text_anchor="middle")
        )
    drawn.append(
        element(
            "text", label, x=left + _WIDE / 2, y=bottom + 34, font_size=11, text_anchor="middle"
        )
    )
    return drawn


def _curve(
    name: str, points: Sequence[tuple[float, str, Mapping[str, float]]], *, most: float, colour: str
) -> list[Markup]:
    """Draw means, joined, each with the range of its runs."""

    def height(value: float) -> float:
        return _TOP + _HIGH * (1 - value / most)

    line = [(x, height(n["mean"])) for x, _, n in points]
    drawn = [element("path", d=path(line), stroke=colour, stroke_width=2, fill="none")]
    drawn = drawn if len(line) > 1 else []
    for x, value, number in points:
        least, mean, top = (height(number[k]) for k in ("least", "mean", "most"))
        words = (
            f"{value}: {_number(name, number['mean'])} "
            f"({_number(name, number['least'])} to {_number(name, number['most'])})"
        )
        drawn += [
            element("path", d=path([(x, least), (x, top)]), stroke=colour, fill="none"),
            element("circle", tooltip(words), cx=x, cy=mean, r=4, fill=colour),
            element(
                "text",
                _number(name, number["mean"]),
                x=x + 6,
                y=mean - 5,
                font_size=9,
                fill=colour,
            ),
        ]
    return drawn


def _number(name: str, value: float) -> str:
    """Write a number of a panel."""
    if name == "virtual_seconds":
        return spell_span(round(value * SECOND))
    return plain(value)
