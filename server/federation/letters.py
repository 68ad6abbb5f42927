"""What a coordinator has on its way to silos and back: letters, challenges and their replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr.app import ConfigRecord, Message
from flwr.app.typing import ConfigRecordValues

from silosynth.common.messages import RECORD
from silosynth.common.plan import Plan, encode_plan
from silosynth.common.trust import PublicKey, Purpose, SigningKey
from silosynth.common.trust.seal import seal

Fields = dict[str, ConfigRecordValues]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressees:
    """Silos by their keys, where there is no plan, and what is proposed to them instead."""

    roster: Mapping[str, PublicKey]
    sealed: bytes
    deadline_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is sent to a silo until it answers, and when to send it next.

    ``pending`` says that the silo has it and waits for a person; ``approval_seconds`` is how long
    that is left alone the next time.
    """

    kind: str
    fields: Fields
    due: float = 0.0
    wait_seconds: float
    approval_seconds: float
    pending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What a node was asked to sign."""

    node: int
    challenge: bytes


@dataclass(slots=True)
class Post:
    """Letters on their way: message ids, and when each node may be challenged again.

    ``listed`` are the nodes that were connected when they were last looked at.
    """

    letters: dict[str, str] = field(default_factory=dict)
    challenges: dict[str, Challenge] = field(default_factory=dict)
    challenge_due: dict[int, float] = field(default_factory=dict)
    listed: frozenset[int] | None = None
    nodes_due: float = 0.0
    active: float = 0.0


def seal_plan(plan: Plan, key: SigningKey) -> bytes:
    """Return a plan in the coordinator's envelope."""
    return seal(encode_plan(plan), purpose=Purpose.PLAN, key=key)


def size_of(fields: Fields) -> int:
    """Return how many bytes a letter carries, about."""
    values = [v for f in fields.values() for v in (f if isinstance(f, list) else [f])]
    return sum(len(v) for v in values if isinstance(v, bytes))


def field_of(reply: Message, name: str) -> ConfigRecordValues | None:
    """Return a field of a reply; None when the node failed or answered something else."""
    if reply.has_error() or not reply.has_content():
        return None
    return reply.content.config_records.get(RECORD, ConfigRecord()).get(name)
