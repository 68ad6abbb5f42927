"""The timeline as a picture: silos by region, what they did and what was done to them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from markupsafe import Markup

from silosynth.common.report import element, fit, picture, tooltip
from silosynth.simulations.scenario.timeline import Leg, Timeline, What
from silosynth.simulations.world import SECOND, Place, spell_span

_LEFT, _RIGHT, _TOP, _WIDE = 190.0, 20.0, 96.0, 900.0
_COLOURS = {
    What.WAIT: "#b8c4d6",
    What.WORK: "#2f6fb0",
    What.STALL: "#e0a63c",
    What.AGAIN: "#7a55a8",
    What.LOST: "#c0392b",
    What.CRASH: "#c0392b",
    What.LATE: "#4f8f4a",
    What.CLOCK: "#8c2d04",
    What.LEFT: "#000000",
}
_AWAY = {"outage": "#f0b8b0", "partition": "#d9cbe6", "churn": "#f6dcd8", "crash": "#f0b8b0"}
_WORDS = (
    (_COLOURS[What.WAIT], "a person decides"),
    (_COLOURS[What.WORK], "works"),
    (_COLOURS[What.STALL], "stalls"),
    (_COLOURS[What.AGAIN], "sent again"),
    (_COLOURS[What.LOST], "lost, killed"),
    (_COLOURS[What.LATE], "nobody waited for it"),
    (_COLOURS[What.CLOCK], "clock refused"),
    (_AWAY["outage"], "off"),
    (_AWAY["partition"], "cut off"),
    (_COLOURS[What.LEFT], "given up"),
)


class _Axis:
    """Time as length: every leg as wide as the logarithm of what it took."""

    def __init__(self, legs: list[Leg]) -> None:
        self._legs = [leg for leg in legs if leg.until > leg.begin]
        widths = [1.5 + math.log1p((leg.until - leg.begin) / SECOND) for leg in self._legs]
        scale = _WIDE / sum(widths) if widths else 0.0
        self._edges = [_LEFT]
        for width in widths:
            self._edges.append(self._edges[-1] + width * scale)

    def legs(self) -> list[tuple[Leg, float, float]]:
        """Return each leg with its left and right edge."""
        return list(zip(self._legs, self._edges, self._edges[1:], strict=False))

    def at(self, moment: int) -> float:
        """Return where a moment lies."""
        for leg, left, right in self.legs():
            if moment <= leg.until:
                part = (max(moment, leg.begin) - leg.begin) / (leg.until - leg.begin)
                return left + part * (right - left)
        return self._edges[-1]


def timeline_picture(
    timeline: Timeline, *, places: Mapping[str, Place], title: str, seed: int
) -> str:
    """Return the timeline as an SVG file; the same timeline gives the same bytes."""
    axis, silos = _Axis(timeline.legs), _rows(timeline)
    step = min(16.0, max(1.2, 700.0 / max(len(silos), 1)))
    regions = list(dict.fromkeys(timeline.homes[s] for s in silos))
    gap = 8.0 if len(regions) < 60 else 1.0
    tops, y = {}, _TOP
    for i, silo in enumerate(silos):
        if i and timeline.homes[silo] != timeline.homes[silos[i - 1]]:
            y += gap
        tops[silo] = y
        y += step
    height = y + 46
    drawn = [
        element("rect", width=_LEFT + _WIDE + _RIGHT, height=height, fill="#ffffff"),
        element("text", title, x=12, y=22, font_size=15, font_weight="bold"),
        *_axis(axis, bottom=y),
        *_names(silos, timeline, tops=tops, step=step),
        *_away(silos, places, timeline, axis=axis, tops=tops, step=step),
        *_marks(timeline, axis=axis, tops=tops, step=step),
        *_legend(y + 18),
        element(
            "text",
            f"{timeline.clock} time {spell_span(timeline.until)}; a stage is as wide as the "
            f"logarithm of its time; seed {seed}",
            x=12,
            y=height - 8,
            font_size=10,
            fill="#555",
        ),
    ]
    image = picture(
        element("g", *drawn, font_family="DejaVu Sans, Arial, sans-serif", fill="#222"),
        width=_LEFT + _WIDE + _RIGHT,
        height=height,
        label=title,
    )
    return str(image).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _rows(timeline: Timeline) -> list[str]:
    """Return the silos, those of a region together."""
    order = list(dict.fromkeys(timeline.homes.values()))
    return sorted(timeline.homes, key=lambda s: order.index(timeline.homes[s]))


def _axis(axis: _Axis, *, bottom: float) -> list[Markup]:
    """Draw a stripe, a name and the time it took for each leg."""
    drawn = []
    for i, (leg, left, right) in enumerate(axis.legs()):
        fill = "#f4f6f8" if i % 2 else "#e9edf1"
        name = fit(leg.name, max(2, int((right - left) / 6.2)))
        took = fit(spell_span(leg.until - leg.begin), max(2, int((right - left) / 5.6)))
        note = f", {leg.missing} missing" if leg.missing else ""
        drawn += [
            element(
                "rect",
                tooltip(f"{leg.name}: {spell_span(leg.until - leg.begin)}{note}"),
                x=left,
                y=_TOP - 42,
                width=right - left,
                height=bottom - _TOP + 42,
                fill=fill,
            ),
            element("text", name, x=left + 4, y=_TOP - 28, font_size=10.5, font_weight="bold"),
            element("text", took, x=left + 4, y=_TOP - 14, font_size=9.5, fill="#555"),
        ]
    return drawn


def _names(
    silos: list[str], timeline: Timeline, *, tops: Mapping[str, float], step: float
) -> list[Markup]:
    """Write regions, and silos where there is room for their names."""
    drawn, seen = [], set()
    for silo in silos:
        region = timeline.homes[silo]
        if region not in seen:
            seen.add(region)
            drawn.append(
                element(
                    "text",
                    fit(region, 11),
                    x=12,
                    y=tops[silo] + min(step, 12) - 1,
                    font_size=11,
                    font_weight="bold",
                )
            )
        if step >= 9:
            text = fit(silo, 14)
            drawn.append(
                element("text", text, x=96, y=tops[silo] + step - 4, font_size=min(10, step - 1))
            )
    return drawn


def _away(
    silos: list[str],
    places: Mapping[str, Place],
    timeline: Timeline,
    *,
    axis: _Axis,
    tops: Mapping[str, float],
    step: float,
) -> list[Markup]:
    """Draw when silos were off or cut off."""
    drawn = []
    for silo in silos:
        for gone in places[silo].stretches(timeline.until):
            end = timeline.until if gone.until is None else min(gone.until, timeline.until)
            if gone.begin >= timeline.until or end <= gone.begin:
                continue
            left, right = axis.at(gone.begin), axis.at(end)
            words = f"{silo}: {gone.kind}, {spell_span(end - gone.begin)}"
            drawn.append(_bar(words, left, right, top=tops[silo], step=step, fill=_AWAY[gone.kind]))
    return drawn


def _marks(
    timeline: Timeline, *, axis: _Axis, tops: Mapping[str, float], step: float
) -> list[Markup]:
    """Draw what silos did, and what befell them."""
    drawn = []
    order = list(_COLOURS)
    known = [m for m in timeline.marks if m.what in _COLOURS]
    for mark in sorted(known, key=lambda m: (order.index(m.what), m.begin, m.silo)):
        left, right = axis.at(mark.begin), axis.at(mark.until)
        if mark.what is What.CRASH:
            right = left
        took = f", {spell_span(mark.until - mark.begin)}" if mark.until > mark.begin else ""
        words = f"{mark.silo}: {mark.what.value} at {spell_span(mark.begin)}{took}"
        thin = mark.what in (What.WAIT, What.STALL)
        drawn.append(
            _bar(
                words,
                left,
                right,
                top=tops[mark.silo] + (step * 0.3 if thin else step * 0.12),
                step=step * (0.5 if thin else 0.9),
                fill=_COLOURS[mark.what],
            )
        )
    return drawn


def _bar(words: str, left: float, right: float, *, top: float, step: float, fill: str) -> Markup:
    """Draw one bar, wide enough to be seen."""
    return element(
        "rect",
        tooltip(words),
        x=left,
        y=top,
        width=max(right - left, 2.0),
        height=max(step * 0.86, 0.8),
        fill=fill,
    )


def _legend(y: float) -> list[Markup]:
    """Say what the colours mean."""
    drawn, x = [], 12.0
    for colour, word in _WORDS:
        drawn += [
            element("rect", x=x, y=y - 8, width=10, height=9, fill=colour),
            element("text", word, x=x + 14, y=y, font_size=10),
        ]
        x += 26 + 6.1 * len(word)
    return drawn
