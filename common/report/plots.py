"""Draw the facts as inline SVG; colours come from the page's style sheet by class."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from markupsafe import Markup

from silosynth.common.report.facts import (
    AttributeFacts,
    Layout,
    Mode,
    PairFacts,
    PairsFacts,
    Score,
)
from silosynth.common.report.numbers import TIMES, percent, points
from silosynth.common.report.svg import element, fit, path, picture, tooltip

STEPS: Mapping[Mode, tuple[float, ...]] = {
    Mode.SIMULATION: (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.20, 0.30),
    Mode.FEDERATION: (0.5, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0),
}
REFERENCE_NAME: Mapping[Mode, str] = {Mode.SIMULATION: "real", Mode.FEDERATION: "noised"}
SYNTHETIC_NAME: Mapping[Mode, str] = {Mode.SIMULATION: "synthetic", Mode.FEDERATION: "model"}
_WIDTH = 360.0
_BESIDE = 52.0
_WHISKER_DEVIATIONS = 2.0


def draw_attribute(facts: AttributeFacts, mode: Mode) -> Markup:
    """Draw an attribute's marginal beside the synthetic table's."""
    draw = _draw_bins if facts.layout is Layout.BINS else _draw_rows
    return draw(facts, mode)


def draw_ruler(score: Score, width: float) -> Markup:
    """Draw a score on a line between its floor and its ceiling; right is better."""
    best, marks = (1.0 if score.higher_is_better else 0.0), (score.floor, score.ceiling)
    reach = max(abs(v - best) for v in (*marks, score.value)) * 1.06 or 1.0

    def place(value: float) -> float:
        return 8 + (width - 16) * (1 - abs(value - best) / reach)

    floor, ceiling, here = (place(v) for v in (score.floor, score.ceiling, score.value))
    y = 13.0
    diamond = path([(ceiling, y - 8), (ceiling + 8, y), (ceiling, y + 8), (ceiling - 8, y)])
    return picture(
        element("line", x1=4, x2=width - 4, y1=y, y2=y, class_="axis"),
        element("line", x1=floor, x2=ceiling, y1=y, y2=y, class_="between"),
        element("line", x1=floor, x2=floor, y1=y - 8, y2=y + 8, class_="floor"),
        element("path", d=diamond + "Z", class_="ceiling"),
        element("circle", cx=here, cy=y, r=4.5, class_="here"),
        width=width,
        height=26,
        label=f"{score.value:.4g}, between {score.floor:.4g} (floor) and "
        f"{score.ceiling:.4g} (ceiling)",
        class_="ruler",
    )


def draw_heatmap(facts: PairsFacts, mode: Mode) -> Markup:
    """Draw every pair: this table below the diagonal, independent columns above it."""
    count = len(facts.attributes)
    cell = max(11.0, min(32.0, 560.0 / count))
    margin = 104.0
    side = margin + cell * count
    font = "small" if cell < 15 else None
    names = [_axis_names(n, i, margin=margin, cell=cell) for i, n in enumerate(facts.attributes)]
    cells = [_pair_cells(p, facts, mode, margin=margin, cell=cell) for p in facts.pairs]
    return picture(
        element("g", *names, class_="names"),
        element("g", *cells, class_="cells"),
        width=side + 2,
        height=side + 2,
        label=f"Heatmap of {len(facts.pairs)} pairs of attributes; the table of the worst pairs "
        "and the tooltips hold its numbers",
        class_=" ".join(filter(None, ("heatmap", font))),
    )


def heat_step(value: float, mode: Mode) -> int:
    """Return the colour step of a pair's value, 0 (close) to 8 (far)."""
    return bisect_right(STEPS[mode], value)


def describe_bar(facts: AttributeFacts, bar: int, mode: Mode) -> str:
    """Say one bar in words: its label and both shares."""
    noise = f" ± {percent(_WHISKER_DEVIATIONS * facts.spread[bar])}" if facts.spread else ""
    return (
        f"{facts.labels[bar]}: {REFERENCE_NAME[mode]} {percent(facts.reference[bar])}{noise}, "
        f"{SYNTHETIC_NAME[mode]} {percent(facts.synthetic[bar])}"
    )


def _draw_rows(facts: AttributeFacts, mode: Mode) -> Markup:
    """Draw one row for each category: a pale bar for the reference, a thin dark one on it."""
    left, right, step = 134.0, 44.0, 20.0
    top = _largest(facts)
    rows = []
    for bar, label in enumerate(facts.labels):
        y = bar * step
        real, ours = facts.reference[bar], facts.synthetic[bar]
        width = _WIDTH - left - right
        rows.append(
            element(
                "g",
                tooltip(describe_bar(facts, bar, mode)),
                element("rect", x=0, y=y, width=_WIDTH, height=step, class_="hit"),
                element("text", fit(label, 20), x=0, y=y + 14, class_="label"),
                element("line", x1=left, x2=left, y1=y + 2, y2=y + step - 2, class_="axis"),
                _bar(left, y + 3.5, width * real / top, 13, "reference"),
                _bar(left, y + 7.5, width * ours / top, 5, "synthetic"),
                _whisker_across(facts, bar, x=left, y=y + 10, scale=width / top),
                element("text", points(ours - real), x=_WIDTH, y=y + 14, class_="difference"),
            )
        )
    height = step * len(facts.labels) + 2
    return picture(*rows, width=_WIDTH, height=height, label=_summary(facts, mode), class_="plot")


def _draw_bins(facts: AttributeFacts, mode: Mode) -> Markup:
    """Draw bins along an axis: pale columns for the reference, a dark step line on them."""
    height, floor = 128.0, 132.0
    scale = height / _largest(facts)
    slots = _slots(facts)
    columns = []
    for bar, (x, width) in enumerate(slots):
        tall = scale * max(facts.reference[bar], 0.0)
        columns.append(
            element(
                "g",
                tooltip(describe_bar(facts, bar, mode)),
                element("rect", x=x, y=4, width=width, height=height, class_="hit"),
                _bar(x + 0.5, floor - tall, width - 1, tall, "reference"),
                _whisker_up(facts, bar, x=x + width / 2, floor=floor, scale=scale),
            )
        )
    return picture(
        *columns,
        element("line", x1=0, x2=_WIDTH, y1=floor, y2=floor, class_="axis"),
        *_step_lines(facts, slots, floor=floor, scale=scale),
        *_ticks(facts, slots, y=floor + 15),
        width=_WIDTH,
        height=floor + 22,
        label=_summary(facts, mode),
        class_="plot",
    )


def _slots(facts: AttributeFacts) -> list[tuple[float, float]]:
    """Return (left end, width) of each bar: bins side by side, the bars beside them apart."""
    beside = len(facts.labels) - facts.body
    axis = _WIDTH - beside * _BESIDE
    width = axis / facts.body
    bins = [(i * width, width) for i in range(facts.body)]
    return bins + [(axis + i * _BESIDE + _BESIDE - 33, 22.0) for i in range(beside)]


def _step_lines(
    facts: AttributeFacts, slots: list[tuple[float, float]], *, floor: float, scale: float
) -> list[Markup]:
    """Return the synthetic shares as step lines, one for the bins and one for each bar beside."""
    bars = len(slots)
    spans = [range(facts.body), *(range(i, i + 1) for i in range(facts.body, bars))]
    lines = []
    for span in spans:
        points = [(slots[span[0]][0], floor)]
        for bar in span:
            y = floor - scale * max(facts.synthetic[bar], 0.0)
            points += [(slots[bar][0], y), (sum(slots[bar]), y)]
        points.append((sum(slots[span[-1]]), floor))
        lines.append(element("path", d=path(points), class_="outline"))
    return lines


def _ticks(facts: AttributeFacts, slots: list[tuple[float, float]], *, y: float) -> list[Markup]:
    """Label the ends and the middle of the axis, and the bars beside it."""
    end, middle = sum(slots[facts.body - 1]), facts.body // 2
    ends = facts.edges or facts.labels[: facts.body]
    ticks = [(0.0, ends[0], "start", 20), (end, ends[-1], "end", 20)]
    if facts.edges and facts.body > 3:
        ticks.append((slots[middle][0], facts.edges[middle], "middle", 16))
    for bar in range(facts.body, len(slots)):
        x, width = slots[bar]
        ticks.append((x + width / 2, facts.labels[bar].strip("[]"), "middle", 8))
    return [
        element("text", fit(text, room), x=x, y=y, text_anchor=anchor, class_="tick")
        for x, text, anchor, room in ticks
    ]


def _bar(x: float, y: float, width: float, height: float, class_: str) -> Markup:
    """Return a bar, or nothing where it has no size: noised shares may lie below zero."""
    if width <= 0 or height <= 0:
        return Markup("")
    return element("rect", x=x, y=y, width=width, height=height, class_=class_)


def _whisker_across(facts: AttributeFacts, bar: int, *, x: float, y: float, scale: float) -> Markup:
    """Return a horizontal whisker of two standard deviations."""
    low, high = _interval(facts, bar)
    if high <= low:
        return Markup("")
    return element("line", x1=x + scale * low, x2=x + scale * high, y1=y, y2=y, class_="whisker")


def _whisker_up(facts: AttributeFacts, bar: int, *, x: float, floor: float, scale: float) -> Markup:
    """Return a vertical whisker of two standard deviations."""
    low, high = _interval(facts, bar)
    if high <= low:
        return Markup("")
    return element(
        "line", x1=x, x2=x, y1=floor - scale * low, y2=floor - scale * high, class_="whisker"
    )


def _interval(facts: AttributeFacts, bar: int) -> tuple[float, float]:
    """Return two standard deviations around a noised share, cut at zero."""
    spread = _WHISKER_DEVIATIONS * facts.spread[bar] if facts.spread else 0.0
    centre = facts.reference[bar]
    return max(centre - spread, 0.0), max(centre + spread, 0.0)


def _largest(facts: AttributeFacts) -> float:
    """Return the share that reaches the end of the axis."""
    tops = [_interval(facts, bar)[1] for bar in range(len(facts.labels))]
    return max(*tops, *facts.synthetic, 1e-9)


def _summary(facts: AttributeFacts, mode: Mode) -> str:
    """Name a plot for those who cannot see it."""
    return (
        f"{fit(facts.name, 60)}: {REFERENCE_NAME[mode]} beside {SYNTHETIC_NAME[mode]}, "
        f"{len(facts.labels)} bars; the numbers follow in a table"
    )


def _axis_names(name: str, index: int, *, margin: float, cell: float) -> Markup:
    """Return an attribute's name at its row and at its column."""
    middle = margin + cell * (index + 0.5)
    text = fit(name, 15)
    return element(
        "g",
        tooltip(name),
        element("text", text, x=margin - 6, y=middle + 3.5, text_anchor="end"),
        element(
            "text", text, transform=f"translate({middle + 3.5:.1f} {margin - 6:.0f}) rotate(-90)"
        ),
    )


def _pair_cells(
    pair: PairFacts, facts: PairsFacts, mode: Mode, *, margin: float, cell: float
) -> Markup:
    """Return a pair's two cells."""
    names = (
        f"{fit(facts.attributes[pair.left], 40)} {TIMES} {fit(facts.attributes[pair.right], 40)}"
    )
    near, far = margin + cell * pair.left, margin + cell * pair.right
    size = cell - 1
    text = f"{names}: {pair.value:.3g} (ceiling {pair.ceiling:.3g}, floor {pair.floor:.3g})"
    marks = []
    if pair.chosen:
        marks.append(
            element("circle", cx=near + size / 2, cy=far + size / 2, r=cell / 9, class_="chosen")
        )
    return element(
        "g",
        tooltip(text + ("; measured by itself" if pair.chosen else "")),
        _heat(near, far, size, heat_step(pair.value, mode)),
        _heat(far, near, size, heat_step(pair.floor, mode)),
        *marks,
    )


def _heat(x: float, y: float, size: float, step: int) -> Markup:
    """Return one coloured cell."""
    return element("rect", x=x, y=y, width=size, height=size, class_=f"q{step}")
