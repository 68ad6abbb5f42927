"""What a relay needs of a gateway, in this process or behind a socket: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class AnswersRequests(Protocol):
    """A gateway as its relay sees it; every answer is one for the coordinator to check."""

    def identify(self, challenge: bytes) -> bytes:
        """Return the silo's identity over a fresh challenge."""
        ...

    def propose(self, *, plan: bytes, receipts: Sequence[bytes] = ()) -> bytes:
        """Return the silo's verdict on a plan. Nothing is spent."""
        ...

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        """Return a release or a refusal."""
        ...

    def deliver(self, bundle: bytes) -> bytes:
        """Return the silo's acknowledgement of a run's result."""
        ...
