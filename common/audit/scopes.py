"""Whose budgets a ledger keeps, and the two sums of one: what those trained on and held out paid.

Nobody is in both parts of one split, so one person pays the larger of its two sums. Charges to
everybody, and charges under different splits, add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import TypeAlias

from silosynth.common.errors import InvalidArgument


class ScopeKind(StrEnum):
    """What a budget is granted to."""

    DATASET = "dataset"
    CONSUMER = "consumer"
    PROJECT = "project"
    SERIES = "series"
    EPOCH = "epoch"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Scope:
    """A budget's owner: a data set, a consumer, a project, or a series of epochs and each of them.

    A series is named by the digest of its template, an epoch by that and its number.
    """

    kind: ScopeKind
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.kind, ScopeKind):
            raise InvalidArgument(f"{self.kind!r} is no kind of scope", hint="use a ScopeKind")
        if not self.name:
            raise InvalidArgument(f"a {self.kind.value} scope has no name", hint="give it one")

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name!r}"


_LONGEST = 64
_CLOSED = "until-"


class Side(StrEnum):
    """Whose rows a charge is for: those of one part of a split, and of no other."""

    TRAINING = "training"
    EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """The part of a split that pays; ``split`` is what the silo calls it."""

    split: str
    side: Side

    def __post_init__(self) -> None:
        if not 0 < len(self.split) <= _LONGEST or not self.split.isascii():
            raise InvalidArgument("a split has no name", hint="give it 1 to 64 ASCII characters")


Sums: TypeAlias = "tuple[int, int]"
"""What was charged to a split: units of training, units of evaluation."""
SumsOf: TypeAlias = "MutableMapping[tuple[Scope, str], Sums]"


def added(sums: Sums, side: Side, units: int) -> Sums:
    """Return two sums with so many units more on one side."""
    training, evaluation = sums
    if side is Side.TRAINING:
        return training + units, evaluation
    return training, evaluation + units


def growth(sums: Sums, side: Side, units: int) -> int:
    """Return by how much the larger of two sums grows when one side pays so many units.

    >>> growth((5, 3), Side.EVALUATION, 2), growth((5, 3), Side.EVALUATION, 4)
    (0, 2)
    """
    return max(added(sums, side, units)) - max(sums)


def charge_sums(sums: SumsOf, scope: Scope, part: Parted | None, units: int) -> int:
    """Add a charge to its sum, and return by how much the most that one person paid grows."""
    if part is None:
        return units
    key = scope, part.split
    before = sums.get(key, (0, 0))
    sums[key] = added(before, part.side, units)
    return growth(before, part.side, units)


def sums_of(scope: Scope, charges: Iterable[tuple[Parted | None, int]]) -> tuple[int, SumsOf]:
    """Return the most that one person paid of charges to a scope, and the sums of its splits."""
    sums: SumsOf = {}
    spent = sum(charge_sums(sums, scope, part, units) for part, units in charges)
    return spent, sums


def closed(split: str, *, place: int) -> str:
    """Return the name of a split that ends at a place in the chain: nothing is paid in it again.

    What the lost ledger charged to a split nobody knows, so what is charged after a recovery counts
    as of another split and adds to all before.
    """
    digest = blake2b(split.encode(), digest_size=16).hexdigest()
    return f"{_CLOSED}{place}-{digest}"


def room(parts: Mapping[tuple[Scope, str], Sums], scope: Scope) -> int:
    """Return what one person may pay in a scope's open splits before the scope pays any more."""
    return sum(
        abs(training - evaluation)
        for (payer, split), (training, evaluation) in parts.items()
        if payer == scope and not split.startswith(_CLOSED)
    )
