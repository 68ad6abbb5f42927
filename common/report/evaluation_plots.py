"""Pictures of an evaluation: lamps, rulers, paired dots, quantiles and intervals."""

from __future__ import annotations

from markupsafe import Markup

from silosynth.common.report.evaluation import (
    Better,
    ColumnFacts,
    Lamp,
    Measure,
    PairedScore,
    State,
    TargetFacts,
)
from silosynth.common.report.svg import element, fit, path, picture, tooltip

STATE_WORDS = {
    State.GOOD: "good",
    State.FAIR: "with care",
    State.POOR: "no",
    State.UNKNOWN: "not known",
}
_ROW = 26.0
_NAMES = 210.0
_NUMBERS = 118.0


def draw_lamp(lamp: Lamp) -> Markup:
    """Draw a lamp by colour and by form, so that it reads in grey as well."""
    shapes = {
        State.GOOD: [
            element("circle", cx=14, cy=14, r=12, class_="lamp good"),
            element("path", d=path([(8, 14.5), (12.5, 19), (20.5, 9.5)]), class_="sign"),
        ],
        State.FAIR: [
            element("path", d="M14 2L27 25L1 25Z", class_="lamp fair"),
            element("path", d="M14 10L14 17M14 20.2L14 22", class_="sign"),
        ],
        State.POOR: [
            element("rect", x=2, y=2, width=24, height=24, rx=3, class_="lamp poor"),
            element("path", d="M8.5 8.5L19.5 19.5M19.5 8.5L8.5 19.5", class_="sign"),
        ],
        State.UNKNOWN: [
            element("circle", cx=14, cy=14, r=11, class_="lamp unknown"),
            element("path", d="M9 14L19 14", class_="sign dark"),
        ],
    }
    return picture(
        *shapes[lamp.state],
        width=28,
        height=28,
        label=f"{lamp.axis.value}: {STATE_WORDS[lamp.state]}",
        class_="lamp-sign",
    )


def draw_measure(measure: Measure, width: float = 190) -> Markup:
    """Draw a measure between its floor and its ceiling; right is better."""
    marks = [v for v in (measure.floor, measure.ceiling) if v is not None]
    if not marks:
        return Markup("")
    values = [*marks, measure.value]
    low, high = min(values), max(values)
    reach = (high - low) or 1.0

    def place(value: float) -> float:
        share = (value - low) / reach
        return 12 + (width - 24) * (share if measure.better is Better.HIGH else 1 - share)

    y = 13.0
    parts = [element("line", x1=4, x2=width - 4, y1=y, y2=y, class_="axis")]
    if measure.floor is not None:
        x = place(measure.floor)
        parts.append(element("line", x1=x, x2=x, y1=y - 8, y2=y + 8, class_="floor"))
    if measure.ceiling is not None:
        x = place(measure.ceiling)
        points = [(x, y - 8), (x + 8, y), (x, y + 8), (x - 8, y)]
        parts.append(element("path", d=path(points) + "Z", class_="ceiling"))
    parts.append(element("circle", cx=place(measure.value), cy=y, r=4.5, class_="here"))
    return picture(*parts, width=width, height=26, label=f"{measure.value:.4g}", class_="ruler")


def draw_agreement(column: ColumnFacts, width: float = 150) -> Markup:
    """Draw how far a column agrees, from 0 to 1, with a mark where another sample stands."""
    full = width - 8
    mark = 4 + full * max(min(column.ceiling, 1.0), 0.0)
    return picture(
        element("rect", x=4, y=6, width=full, height=8, class_="track"),
        element(
            "rect", x=4, y=6, width=full * max(column.shape, 0.0), height=8, class_="synthetic"
        ),
        element("line", x1=mark, x2=mark, y1=2, y2=18, class_="mark-line"),
        width=width,
        height=20,
        label=f"agrees to {column.shape:.1%}",
    )


def draw_quantiles(column: ColumnFacts, width: float = 170) -> Markup:
    """Draw the middle half, the middle nine tenths and the median of both tables."""
    sides = (column.real.quantiles, column.synthetic.quantiles)
    values = [v for side in sides for v in side]
    if not values:
        return Markup("")
    low, reach = min(values), (max(values) - min(values)) or 1.0
    parts = []
    for y, side, name in ((7.0, sides[0], "reference"), (19.0, sides[1], "synthetic")):
        if not side:
            continue
        x = [6 + (width - 12) * (v - low) / reach for v in side]
        parts += [
            element("line", x1=x[0], x2=x[4], y1=y, y2=y, class_=f"reach {name}-line"),
            element("rect", x=x[1], y=y - 4, width=max(x[3] - x[1], 1), height=8, class_=name),
            element("line", x1=x[2], x2=x[2], y1=y - 5.5, y2=y + 5.5, class_="median"),
        ]
    return picture(
        *parts, width=width, height=26, label="quantiles of the real and the synthetic values"
    )


def draw_target(target: TargetFacts, width: float = 620) -> Markup:
    """Draw the scores of both models as two dots a line: whole, then group by group."""
    lines: list[PairedScore] = [target.whole, *target.groups[:12]]
    values = [v for p in lines for v in (p.synthetic, p.real)] + [target.floor]
    low, high = min(values), max(values)
    reach = (high - low) or 1.0
    right = width - _NUMBERS

    def place(value: float) -> float:
        return _NAMES + 10 + (right - _NAMES - 20) * (value - low) / reach

    floor = place(target.floor)
    height = _ROW * len(lines) + 8
    parts = [element("line", x1=floor, x2=floor, y1=2, y2=height - 2, class_="floor")]
    for i, pair in enumerate(lines):
        y = 4 + _ROW * (i + 0.5)
        name = pair.group or "all test rows"
        xs = (place(pair.real), place(pair.synthetic))
        parts.append(
            element(
                "g",
                tooltip(f"{name}: {pair.synthetic:.3f} for {pair.real:.3f}, {pair.rows:,} rows"),
                element("text", fit(name, 32), x=0, y=y + 4),
                element("line", x1=xs[0], x2=xs[1], y1=y, y2=y, class_="between"),
                element("circle", cx=xs[0], cy=y, r=5.5, class_="reference-dot"),
                element("circle", cx=xs[1], cy=y, r=5, class_="here"),
                element(
                    "text",
                    f"{pair.synthetic:.3f} for {pair.real:.3f}",
                    x=width,
                    y=y + 4,
                    class_="difference",
                ),
            )
        )
    return picture(
        *parts,
        width=width,
        height=height,
        label=f"{target.score} of {target.name}, learnt from synthetic and from real rows",
        class_="paired",
    )


def _bar(y: float, width: float, class_: str) -> Markup:
    """Return one bar beside its name."""
    return element("rect", x=_NAMES, y=y, width=width, height=8, class_=class_)


def draw_importance(target: TargetFacts, width: float = 620) -> Markup:
    """Draw which columns both models look at, as two bars a column."""
    most = max((max(real, made) for _, real, made in target.importance), default=0) or 1.0
    full = width - _NAMES - 60
    parts = []
    for i, (name, real, made) in enumerate(target.importance):
        y = 4 + _ROW * i
        parts.append(
            element(
                "g",
                tooltip(f"{name}: real {real:.1%}, synthetic {made:.1%}"),
                element("text", fit(name, 32), x=0, y=y + 15),
                element(
                    "rect",
                    x=_NAMES,
                    y=y + 3,
                    width=full * real / most,
                    height=8,
                    class_="reference",
                ),
                element(
                    "rect",
                    x=_NAMES,
                    y=y + 12,
                    width=full * made / most,
                    height=8,
                    class_="synthetic",
                ),
            )
        )
    return picture(
        *parts,
        width=width,
        height=_ROW * len(target.importance) + 8,
        label=f"what models of {target.name} look at",
        class_="paired",
    )
