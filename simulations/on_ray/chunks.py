"""Silos by chunks: which Flower node speaks for which silos, and what a message to it holds.

A chunk is transport. Each silo of it is asked by a request of its own and answers with bytes of its
own, as by a message of its own; Flower's engine walks all messages that are in flight for each of
its nodes, so a thousand nodes cost what twenty do not.

Nothing of the project is imported here: a node's process loads no more than it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

RECORD = "chunk"
"""The name of the one record of a message and of its answer."""
IDENTIFY, ANSWER, AGREE = "identify", "answer", "agree"
MOST_SILOS, MOST_PARTS = 100, 10
"""Of a chunk, and how many chunks there are where that is less: progress shows by chunks."""
MOST_BYTES = 1 << 24
"""Of a message or its answer, about."""
Value: TypeAlias = int | float | str | bytes | bool
Values: TypeAlias = list[int] | list[float] | list[str] | list[bytes] | list[bool]
Fields: TypeAlias = dict[str, Value | Values]
"""What Flower carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """Which silos a node speaks for, and which of ``hosts`` processes has a silo's gateway.

    Neighbours in the roster are of one chunk and of different hosts, so each message has work for
    all. ``size`` silos are in a chunk, fewer in the last.
    """

    silos: tuple[str, ...]
    size: int
    hosts: int

    @staticmethod
    def of(silos: Sequence[str], *, hosts: int, silo_bytes: int) -> Chunks:
        """Return chunks whose messages have work for all hosts and are not too large.

        Args: silo_bytes: of the largest request or answer of one silo.
        """
        fair = max(hosts, -(-len(silos) // MOST_PARTS))
        size = max(1, min(MOST_SILOS, fair, MOST_BYTES // max(silo_bytes, 1)))
        return Chunks(silos=tuple(silos), size=size, hosts=hosts)

    @property
    def count(self) -> int:
        """Return how many there are."""
        return -(-len(self.silos) // self.size)

    @property
    def at_once(self) -> int:
        """Return how many messages it takes to give every host something to do."""
        return max(1, self.hosts // self.size)

    def of_silo(self) -> dict[str, int]:
        """Return the number of each silo's chunk."""
        return {silo: i // self.size for i, silo in enumerate(self.silos)}

    def homes(self) -> dict[str, int]:
        """Return the number of each silo's host."""
        return {silo: i % self.hosts for i, silo in enumerate(self.silos)}


def pack(asked: Mapping[str, bytes], *, plan: bytes, homes: Mapping[str, int]) -> Fields:
    """Return the fields of a message: what each silo is asked, equal bytes once.

    Args: plan: the sealed plan. homes: the number of each silo's host.
    """
    texts = {text: i for i, text in enumerate(dict.fromkeys(asked.values()))}
    return {
        "plan": plan,
        "silos": list(asked),
        "homes": [homes[silo] for silo in asked],
        "texts": list(texts),
        "which": [texts[text] for text in asked.values()],
    }


def unpack(fields: Mapping[str, object]) -> dict[int, dict[str, bytes]]:
    """Return what each silo is asked by a message of :func:`pack`, by the number of its host."""
    silos, texts = cast(list[str], fields["silos"]), cast(list[bytes], fields["texts"])
    homes, which = cast(list[int], fields["homes"]), cast(list[int], fields["which"])
    asked: dict[int, dict[str, bytes]] = {}
    for silo, home, i in zip(silos, homes, which, strict=True):
        asked.setdefault(home, {})[silo] = texts[i]
    return asked


def pack_answers(answers: Mapping[str, bytes]) -> Fields:
    """Return the fields of a node's answer: what its silos said."""
    return {"silos": list(answers), "answers": list(answers.values())}


def unpack_answers(fields: Mapping[str, object]) -> dict[str, bytes]:
    """Return what silos said by an answer; nothing of what is not one."""
    silos, answers = fields.get("silos"), fields.get("answers")
    if not isinstance(silos, list) or not isinstance(answers, list) or len(silos) != len(answers):
        return {}
    said = zip(silos, answers, strict=True)
    return {s: data for s, data in said if isinstance(s, str) and isinstance(data, bytes)}
