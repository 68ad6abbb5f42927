"""How silos come to agree on who takes part in a sum: what each is asked, and how far they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from silosynth.common.messages import AgreedSet, SumProof, pack


class SumStage(StrEnum):
    """What a silo is asked on the way to a sum."""

    KEYS = "keys"
    SET = "set"


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far the silos have agreed on a sum's participants.

    ``members`` are those whose set ``agreed`` is up for signature, none while keys are gathered.
    ``keys`` are those of all ``adverts``: none may stand twice in a set.
    """

    session: int = 1
    adverts: Mapping[str, bytes] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()
    members: tuple[str, ...] = ()
    votes: Mapping[str, bytes] = field(default_factory=dict)
    agreed: AgreedSet | None = None

    @property
    def asked(self) -> SumStage:
        """Return what silos are asked now."""
        return SumStage.SET if self.members else SumStage.KEYS

    @cached_property
    def proof(self) -> SumProof:
        """Return the statements that every request of the session carries."""
        return SumProof(
            session=self.session,
            adverts=tuple(pack(self.adverts[s]) for s in self.members),
            votes=tuple(pack(self.votes[s]) for s in self.members),
        )
