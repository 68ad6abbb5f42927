"""Draw how CPU grows with silos, both axes logarithmic, beside a line that is straight."""

from __future__ import annotations

import math
from collections.abc import Mapping

from markupsafe import Markup

from silosynth.common.report import element, picture

_WIDE, _HIGH, _EDGE = 460, 320, 56


def growth_picture(cpu: Mapping[int, float], *, title: str, of: str = "silos") -> str:
    """Return the picture as an SVG file.

    Args: cpu: seconds by the number of silos, or what ``of`` says; each point has both.
    """
    across = [math.log10(silos) for silos in cpu]
    linear = [math.log10(max(cpu.values()) * silos / max(cpu)) for silos in cpu]
    up = [math.log10(max(seconds, 1e-3)) for seconds in cpu.values()]
    low, high = min(*up, *linear), max(*up, *linear)

    def at(x: float, y: float) -> tuple[float, float]:
        right = (x - across[0]) / max(across[-1] - across[0], 1e-9)
        above = (y - low) / max(high - low, 1e-9)
        return _EDGE + right * (_WIDE - 2 * _EDGE), _HIGH - _EDGE - above * (_HIGH - 2 * _EDGE)

    drawn = [
        element("rect", width=_WIDE, height=_HIGH, fill="#ffffff"),
        element("text", title, x=_EDGE, y=24, font_size=13, font_weight="bold"),
        _line([at(x, y) for x, y in zip(across, linear, strict=True)], "#bbbbbb"),
        _line([at(x, y) for x, y in zip(across, up, strict=True)], "#1f6fb2"),
    ]
    for (silos, seconds), x, y in zip(cpu.items(), across, up, strict=True):
        left, top = at(x, y)
        words = f"{silos:,}: {seconds:.3g} s"
        drawn.append(element("circle", cx=left, cy=top, r=3, fill="#1f6fb2"))
        drawn.append(element("text", words, x=left - 20, y=top - 8, font_size=10))
    words = f"grey: as many times the seconds as {of}"
    drawn.append(element("text", words, x=_EDGE, y=_HIGH - 14, font_size=10, fill="#555"))
    shown = element("g", *drawn, font_family="DejaVu Sans, Arial, sans-serif", fill="#222")
    image = str(picture(shown, width=_WIDE, height=_HIGH, label=title))
    return image.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _line(points: list[tuple[float, float]], colour: str) -> Markup:
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return element("polyline", points=text, fill="none", stroke=colour, stroke_width=1.5)
