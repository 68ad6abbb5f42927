"""Whose budgets a ledger keeps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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
