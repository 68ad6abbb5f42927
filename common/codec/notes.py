"""What encoding had to bend, for the silo's own operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Uniform = Callable[[int], np.ndarray]

HARDLY = 0.1
"""A column of which less than this share fits has hardly anything to say under its schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingNote:
    """Count the values of one attribute that had no code of their own. Private.

    ``unseen`` values are not listed, ``clipped`` ones lie beyond the bounds, ``unreadable`` texts
    are no number or date, ``undeclared_missing`` ones are null although missing is not declared.
    ``broken`` counts the rows that break a rule, whose text stands for the attribute. Those that
    are ``off_step`` lie between two points of a declared step; they are told, and fit.
    """

    attribute: str
    unseen: int = 0
    clipped: int = 0
    unreadable: int = 0
    undeclared_missing: int = 0
    broken: int = 0
    off_step: int = 0

    @property
    def misfits(self) -> int:
        """Return in how many rows the attribute has a code that is not the value's own."""
        return self.bent + self.undeclared_missing + self.broken

    def share_fitting(self, rows: int) -> float:
        """Return the share of ``rows`` that fit, 1 of none."""
        return 1.0 if not rows else max(0.0, 1.0 - self.misfits / rows)

    def of(self, rows: int) -> str:
        """Say what there is to tell, of how many rows."""
        if self.broken:
            return str(self).replace(f"{self.broken} rows", f"{self.broken} of {rows} rows")
        told = "; ".join(f"{n} of {rows} values {why}" for n, why in self._told() if n)
        return f"{self.attribute}: {told}"

    @property
    def bent(self) -> int:
        """Return how many values are not listed, unreadable, or beyond the bounds."""
        return self.unseen + self.unreadable + self.clipped

    def __bool__(self) -> bool:
        """Say whether there is anything to tell."""
        return bool(self.misfits or self.off_step)

    def __str__(self) -> str:
        if self.broken:
            return f"rule '{self.attribute}': {self.broken} rows break it; the nearest is counted"
        told = "; ".join(f"{n} values {why}" for n, why in self._told() if n)
        return f"{self.attribute}: {told}"

    def _told(self) -> tuple[tuple[int, str], ...]:
        return (
            (self.unseen, "not listed"),
            (self.clipped, "beyond the bounds"),
            (self.unreadable, "unreadable"),
            (self.undeclared_missing, "missing, though missing is not declared"),
            (self.off_step, "off the declared step"),
        )


def code_dtype(size: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest unsigned type for ``size`` codes."""
    return np.dtype(np.uint8 if size <= 256 else np.uint16)


def add_notes(*parts: tuple[EncodingNote, ...]) -> tuple[EncodingNote, ...]:
    """Add up the notes on parts of one table, attribute by attribute."""
    total: dict[str, EncodingNote] = {}
    for note in (note for part in parts for note in part):
        before = total.get(note.attribute, EncodingNote(attribute=note.attribute))
        total[note.attribute] = EncodingNote(
            attribute=note.attribute,
            unseen=before.unseen + note.unseen,
            clipped=before.clipped + note.clipped,
            unreadable=before.unreadable + note.unreadable,
            undeclared_missing=before.undeclared_missing + note.undeclared_missing,
            broken=before.broken + note.broken,
            off_step=before.off_step + note.off_step,
        )
    return tuple(total.values())
