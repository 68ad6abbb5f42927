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


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Scope:
    """A budget's owner: one data set, one consumer or one project."""

    kind: ScopeKind
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.kind, ScopeKind):
            raise InvalidArgument(f"{self.kind!r} is no kind of scope", hint="use a ScopeKind")
        if not self.name:
            raise InvalidArgument(f"a {self.kind.value} scope has no name", hint="give it one")

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name!r}"
