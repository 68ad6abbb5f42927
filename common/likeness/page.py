"""Render the facts of several tables as one HTML file that opens offline, and write both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from silosynth.common.likeness.facts import FamiliesFacts, NumbersFacts, encode_families
from silosynth.common.report import (
    check_place,
    element,
    offline_page,
    picture,
    plain,
    tooltip,
    write_beside,
)

_HERE = Path(__file__).parent
_TEMPLATE, _STYLE = "families.html.j2", "families.css"
_STEP, _HEIGHT, _LEFT = 24, 9, 90
_WIDE = 420


def render_families(facts: FamiliesFacts) -> str:
    """Return the page of ``facts``.

    Guarantees: the same facts give the same text; every name and label is escaped; nothing in the
    page loads or runs anything, and its Content-Security-Policy forbids the browser to.
    """
    filters: dict[str, Callable[..., Any]] = {
        "count": lambda value: f"{value:,}",
        "score": lambda value: "" if value is None else f"{value:.4f}",
        "plain": plain,
        "bars": draw_numbers,
    }
    return offline_page(_HERE, _TEMPLATE, style=_STYLE, filters=filters, facts=facts)


def write_families_report(
    facts: FamiliesFacts, directory: Path, *, force: bool = False
) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json`` into ``directory`` and return their paths.

    Raises OutputExists where one is in the way and ``force`` is off, InvalidArgument where the
    directory cannot be written.
    """
    page, data = directory / "report.html", directory / "report.json"
    contents = {page: render_families(facts).encode(), data: encode_families(facts)}
    check_place(directory, force=force)
    write_beside(directory, contents, what="the report")
    return page, data


def draw_numbers(numbers: NumbersFacts) -> Markup:
    """Draw shares of parents by how many rows they have, real above synthetic."""
    most = max(*numbers.real, *numbers.synthetic, 1e-9)
    bars: list[Markup] = []
    for i, label in enumerate(numbers.labels):
        top = i * _STEP
        bars.append(element("text", label, x=_LEFT - 8, y=top + 13, text_anchor="end"))
        for j, (side, name) in enumerate(((numbers.real, "real"), (numbers.synthetic, "here"))):
            said = tooltip(f"{label}: {side[i]:.1%} {'synthetic' if j else 'real'}")
            place = {"x": _LEFT, "y": top + 2 + j * _HEIGHT}
            size = {"width": _WIDE * side[i] / most, "height": _HEIGHT - 1}
            bars.append(element("rect", said, **place, **size, class_=name))
    return picture(
        *bars,
        width=_LEFT + _WIDE,
        height=_STEP * len(numbers.labels),
        label="shares of parents by how many rows they have",
    )
