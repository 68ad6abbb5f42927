"""Write SVG elements; every text and every attribute is escaped here."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from markupsafe import Markup, escape


def element(name: str, *children: str | Markup, **attributes: str | float | None) -> Markup:
    """Return ``<name ...>children</name>``; ``class_`` is ``class``, ``_`` in names is ``-``.

    >>> element("text", "a < b", x=1.50, class_="label")
    Markup('<text x="1.5" class="label">a &lt; b</text>')
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            spelled = key.rstrip("_").replace("_", "-")
            words.append(f'{spelled}="{escape(number(value))}"')
    inner = Markup("").join(children)
    opening = " ".join(words)
    return Markup(f"<{opening}>{inner}</{name}>") if inner else Markup(f"<{opening}/>")


def number(value: str | float) -> str:
    """Write a length with at most two decimals."""
    if isinstance(value, str):
        return value
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def picture(
    *children: Markup, width: float, height: float, label: str, class_: str | None = None
) -> Markup:
    """Return an ``<svg>`` of a natural size, with a name for screen readers."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
        class_=class_,
    )


def tooltip(text: str) -> Markup:
    """Return a ``<title>``: browsers show it on hover."""
    return element("title", text)


def path(points: Iterable[tuple[float, float]]) -> str:
    """Return the path through ``points``."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def fit(text: str, columns: int) -> str:
    """Cut ``text`` to ``columns`` character cells; wide characters take two, marks none.

    >>> fit("Massachusetts", 6)
    'Massa…'
    """
    used = 0
    widths = [_width(c) for c in text]
    if sum(widths) <= columns:
        return text
    for position, width in enumerate(widths):
        used += width
        if used > columns - 1:
            return text[:position].rstrip() + "…"
    return text


def _width(character: str) -> int:
    """Return how many cells a character takes in a line of text."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
