"""What a sweep varies, as it is written on the command line: ``epsilon=0.5,1,2``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from silosynth.common.errors import InvalidArgument
from silosynth.common.plan import TrustMode
from silosynth.simulations.world import SECOND, read_span

MOST_AXES, MOST_RUNS, MOST_SILOS = 2, 1000, 1000


class AxisName(StrEnum):
    """What can be varied."""

    SILOS = "silos"
    SKEW = "skew"
    EPSILON = "epsilon"
    TRUST = "trust"
    ABSENT = "absent"
    DELAY = "delay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One thing and its values, as text in one spelling; ``column`` is whose values are skewed."""

    name: AxisName
    values: tuple[str, ...]
    column: str | None = None

    @property
    def label(self) -> str:
        """Return how it is called in a picture or a table."""
        return self.name.value if self.column is None else f"skew.{self.column}"

    def numbers(self) -> dict[str, float] | None:
        """Return each value as a number; None for what has none."""
        match self.name:
            case AxisName.TRUST:
                return None
            case AxisName.DELAY:
                return {value: read_span(value) / SECOND for value in self.values}
        return {value: float(value) for value in self.values}


Point = Mapping[AxisName, str]


def parse_axes(texts: Sequence[str], *, columns: Sequence[str]) -> tuple[Axis, ...]:
    """Read one or two axes; raise InvalidArgument naming what is wrong.

    Args: columns: of the schema, one of which a skew needs.
    """
    axes = tuple(_parse(text, columns=columns) for text in texts)
    if not 1 <= len(axes) <= MOST_AXES:
        raise InvalidArgument(
            f"{len(axes)} things are varied", hint="give --sweep once or twice: curves are flat"
        )
    if len({axis.name for axis in axes}) < len(axes):
        raise InvalidArgument(
            f"{axes[0].name.value} is varied twice", hint="put all values into one --sweep"
        )
    return axes


def points(axes: Sequence[Axis]) -> tuple[Point, ...]:
    """Return every combination of the axes' values, in order."""
    names = [axis.name for axis in axes]
    return tuple(
        dict(zip(names, values, strict=True)) for values in product(*(a.values for a in axes))
    )


def check_runs(axes: Sequence[Axis], *, repeats: int) -> None:
    """Raise InvalidArgument for more runs than anybody waits for."""
    runs = len(points(axes)) * repeats
    if runs > MOST_RUNS:
        raise InvalidArgument(f"the sweep has {runs} runs", hint=f"at most {MOST_RUNS}")


def _parse(text: str, *, columns: Sequence[str]) -> Axis:
    """Read one axis."""
    left, equals, right = text.partition("=")
    word, _, column = left.strip().partition(".")
    known = ", ".join(name.value for name in AxisName)
    if not equals or word not in set(AxisName):
        raise InvalidArgument(
            f"--sweep {text!r} names nothing that can be varied",
            hint=f"write NAME=VALUE,VALUE with one of {known}",
        )
    name = AxisName(word)
    values = tuple(_value(name, part.strip()) for part in right.split(","))
    if len(set(values)) < len(values):
        raise InvalidArgument(f"--sweep {text!r} has a value twice", hint="leave one out")
    if (name is AxisName.SKEW) != bool(column):
        raise InvalidArgument(
            f"--sweep {text!r}: only a skew names a column",
            hint="write skew.COLUMN=0.1,1,10: the smaller, the more uneven",
        )
    if column and column not in columns:
        raise InvalidArgument(
            f"--sweep {text!r}: the schema has no column {column!r}",
            hint=f"use one of {', '.join(columns[:8])}",
        )
    return Axis(name=name, values=values, column=column or None)


def _value(name: AxisName, text: str) -> str:
    """Return a value in its one spelling; raise InvalidArgument when it is none."""
    try:
        return _READERS[name](text)
    except ValueError as err:
        raise InvalidArgument(f"--sweep {name.value}: {text!r} is no value: {err}") from err


def _whole(least: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(r"[0-9]{1,5}", text) or not least <= int(text) <= MOST_SILOS:
            raise ValueError(f"a whole number from {least} to {MOST_SILOS} is expected")
        return str(int(text))

    return read


def _number(most: float) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?", text) or not 0 < float(text) <= most:
            raise ValueError(f"a number above 0 and up to {most:g} is expected")
        return f"{float(text):g}"

    return read


def _trust(text: str) -> str:
    if text not in set(TrustMode):
        raise ValueError(f"one of {', '.join(TrustMode)} is expected")
    return text


def _span(text: str) -> str:
    """Return a span in seconds, exactly: a number with an exponent would be no span."""
    whole, rest = divmod(read_span(text), SECOND)
    return f"{whole}.{rest:06}".rstrip("0").removesuffix(".") + "s"


_READERS: Mapping[AxisName, Callable[[str], str]] = {
    AxisName.SILOS: _whole(1),
    AxisName.SKEW: _number(1e6),
    AxisName.EPSILON: _number(100),
    AxisName.TRUST: _trust,
    AxisName.ABSENT: _whole(0),
    AxisName.DELAY: _span,
}
