"""Draw a sheet of images: one strip for each class, as SVG paths of one shade each."""

from __future__ import annotations

from collections import defaultdict

from markupsafe import Markup

from silosynth.common.report.facts import SheetFacts
from silosynth.common.report.svg import element, fit, picture

_SHADES = 16
_SIDE = 44
_GAP = 6
_MARGIN = 92


def draw_sheet(sheet: SheetFacts) -> Markup:
    """Return the images of each class in a row of their own, dark pixels dark."""
    scale = _SIDE / max(sheet.width, sheet.height)
    shades: dict[int, list[str]] = defaultdict(list)
    labels = []
    most = max((len(strip.images) for strip in sheet.strips), default=0)
    for line, strip in enumerate(sheet.strips):
        top = line * (_SIDE + _GAP)
        labels.append(
            element("text", fit(strip.label, 12), x=0, y=top + _SIDE / 2 + 4, class_="label")
        )
        for place, image in enumerate(strip.images):
            left = _MARGIN + place * (_SIDE + _GAP)
            _add(shades, image, sheet=sheet, left=left, top=top, scale=scale)
    paths = [
        element("path", d="".join(parts), class_="pixel", fill_opacity=shade / _SHADES)
        for shade, parts in sorted(shades.items())
    ]
    return picture(
        *labels,
        *paths,
        width=_MARGIN + most * (_SIDE + _GAP),
        height=max(len(sheet.strips) * (_SIDE + _GAP), 1),
        label=f"Synthetic images of {sheet.name}, one row for each class",
    )


def _add(
    shades: dict[int, list[str]],
    image: tuple[float, ...],
    *,
    sheet: SheetFacts,
    left: float,
    top: float,
    scale: float,
) -> None:
    """Add every pixel of an image to the path of its shade; neighbours of one shade are one."""
    for y in range(sheet.height):
        row = [round(v * _SHADES) for v in image[y * sheet.width : (y + 1) * sheet.width]]
        x = 0
        while x < len(row):
            stop = x
            while stop < len(row) and row[stop] == row[x]:
                stop += 1
            if row[x]:
                at = f"M{left + x * scale:.4g} {top + y * scale:.4g}"
                shades[row[x]].append(
                    f"{at}h{(stop - x) * scale:.4g}v{scale:.4g}h{(x - stop) * scale:.4g}z"
                )
            x = stop
