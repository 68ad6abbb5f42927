"""Render the facts of several tables as one HTML file that opens offline, and write both."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from silosynth.common.errors import InvalidArgument
from silosynth.common.files import replace_file
from silosynth.common.likeness.facts import FamiliesFacts, NumbersFacts, encode_families
from silosynth.common.report import check_place, element, picture, plain, tooltip

_TEMPLATE, _STYLE = "families.html.j2", "families.css"
_STEP, _HEIGHT, _LEFT = 24, 9, 90
_WIDE = 420


def render_families(facts: FamiliesFacts) -> str:
    """Return the page of ``facts``.

    Guarantees: the same facts give the same text; every name and label is escaped; nothing in the
    page loads or runs anything, and its Content-Security-Policy forbids the browser to.
    """
    style = _resource(_STYLE)
    environment = Environment(
        loader=DictLoader({_TEMPLATE: _resource(_TEMPLATE)}),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["score"] = lambda value: "" if value is None else f"{value:.4f}"
    environment.filters["plain"] = plain
    environment.filters["bars"] = draw_numbers
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template(_TEMPLATE).render(
        facts=facts, style=Markup(style), style_hash=f"sha256-{digest}"
    )


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
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            replace_file(path, content, mode=0o666)
    except OSError as err:
        raise InvalidArgument(
            f"{directory}: the report cannot be written: {err.strerror}",
            hint="choose a directory that you may write to",
        ) from err
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


def _resource(name: str) -> str:
    """Return a text file that ships beside this module."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
