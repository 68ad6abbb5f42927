"""What a kind of attribute brings: how its columns are read, coded, written and drafted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from silosynth.common.codec.facts import ColumnFacts, Proposal
from silosynth.common.codec.notes import EncodingNote, Uniform


class ColumnCodec(Protocol):
    """Codes of one column, and back."""

    @property
    def attribute(self) -> Any:
        """Return the attribute."""

    def encode(self, column: pa.Array) -> tuple[np.ndarray, EncodingNote]:
        """Return (rows,) codes, and how many values had none of their own."""

    def misfits(self, column: pa.Array) -> np.ndarray:
        """Return (rows,) bool, where a value has the code of another for want of one of its own."""

    def decode(self, codes: np.ndarray, *, uniform: Uniform) -> pa.Array:
        """Return values, null for missing."""


def _no_proposal(column: ColumnFacts) -> Proposal | None:
    """Leave a column to other kinds."""
    del column
    return None


def _no_words(attribute: Any) -> list[str]:
    """Name no code."""
    del attribute
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of attribute, as functions of one.

    ``accepts`` says whether a column of an Arrow type can ever hold it, and ``store_as`` how it
    should be stored. ``codec`` builds its codec; None where it is never coded. ``spell`` writes
    decoded values as text, null for missing, and ``as_text`` says whether synthetic columns are
    text although no type is declared. ``words`` names its codes before ``other`` and ``missing``,
    ``allowed`` marks those that meet a condition. ``draft`` proposes it for a column, or not;
    ``needs`` are the facts that only a person can declare, ``natural`` is the stored type
    that a draft need not mention, and ``reason`` why it proposes the kind.
    """

    accepts: Callable[[Any, pa.DataType], bool]
    store_as: str = ""
    codec: Callable[[Any], ColumnCodec] | None = None
    spell: Callable[[Any, pa.Array], pa.Array] | None = None
    as_text: Callable[[Any], bool] = lambda _: False
    words: Callable[[Any], list[str]] = _no_words
    edge: Callable[[float], str] | None = None
    read_edge: Callable[[str], float] | None = None
    allowed: Callable[[Any, str], np.ndarray] | None = None
    draft: Callable[[ColumnFacts], Proposal | None] = _no_proposal
    needs: tuple[str, ...] = ()
    natural: str | None = None
    reason: str = ""
