"""Render what changed as one HTML file that opens offline, and write it beside its data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from silosynth.common.changes.facts import ChangeFacts, CourseFacts, encode_changes
from silosynth.common.errors import OutputExists
from silosynth.common.report import element, offline_page, path, picture, tooltip, write_beside

_HERE = Path(__file__).parent
_TEMPLATE, _STYLE = "changes.html.j2", "changes.css"
_WIDE, _HIGH, _EDGE, _LEFT = 240, 100, 12, 44


def render_changes(facts: ChangeFacts) -> str:
    """Return the page of ``facts``.

    Guarantees: the same facts give the same text; every name and label is escaped; nothing in the
    page loads or runs anything, and its Content-Security-Policy forbids the browser to.
    """
    filters: dict[str, Callable[..., Any]] = {
        "count": lambda value: f"{value:,}",
        "rounded": lambda v: "not known" if v is None else f"{v:.4g}",
        "percent": lambda v: "not known" if v is None else f"{v:.2%}",
        "course": draw_course,
    }
    return offline_page(_HERE, _TEMPLATE, style=_STYLE, filters=filters, facts=facts)


def write_changes(facts: ChangeFacts, folder: Path, *, force: bool = False) -> tuple[Path, Path]:
    """Write ``changes.html`` and ``changes.json`` into ``folder`` and return their paths.

    Raises OutputExists where one is in the way and ``force`` is off, InvalidArgument where the
    folder cannot be written.
    """
    page, data = folder / "changes.html", folder / "changes.json"
    contents = {page: render_changes(facts).encode(), data: encode_changes(facts)}
    if not force and (found := next((p for p in contents if p.exists()), None)):
        raise OutputExists(f"{found} exists already", hint="add --force to write over it")
    write_beside(folder, contents, what="what changed")
    return page, data


def draw_course(course: CourseFacts) -> Markup:
    """Draw a share over releases with two standard errors up and down."""
    spans = [2 * (error or 0) for error in course.errors]
    low = min(s - e for s, e in zip(course.shares, spans, strict=True))
    high = max(s + e for s, e in zip(course.shares, spans, strict=True))
    scale = (_HIGH - 2 * _EDGE) / max(high - low, 1e-9)
    step = (_WIDE - _LEFT - _EDGE) / max(len(course.shares) - 1, 1)
    marks: list[Markup] = []
    points = []
    for place, (share, span) in enumerate(zip(course.shares, spans, strict=True)):
        x, y = _LEFT + place * step, _HIGH - _EDGE - (share - low) * scale
        points.append((x, y))
        marks.append(element("line", x1=x, x2=x, y1=y - span * scale, y2=y + span * scale))
        said = tooltip(f"{place + 1}: {share:.2%}")
        marks.append(element("circle", said, cx=x, cy=y, r=3))
    ends = [
        element("text", f"{high:.1%}", x=_LEFT - 8, y=_EDGE + 4, text_anchor="end"),
        element("text", f"{max(low, 0):.1%}", x=_LEFT - 8, y=_HIGH - _EDGE + 4, text_anchor="end"),
    ]
    line = element("path", d=path(points))
    shares = ", ".join(f"{share:.1%}" for share in course.shares)
    named = f"{course.column}, {course.label}: {shares}"
    return picture(line, *marks, *ends, width=_WIDE, height=_HIGH, label=named)
