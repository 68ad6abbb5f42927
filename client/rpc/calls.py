"""What others need of a gateway, in this process or behind a socket: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class AnswersRequests(Protocol):
    """What a relay needs: bytes of a plan and a request in, bytes of a release or refusal out."""

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        """Return the bytes to send to the coordinator."""
        ...

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        """Return the silo's keys of a sum, or its vote on who takes part. Nothing is spent."""
        ...


class SpeaksForSilo(AnswersRequests, Protocol):
    """All that a coordinator may say to a silo: bytes in, bytes out, and never an error."""

    def identify(self, challenge: bytes) -> bytes:
        """Return the silo's signed identity over a challenge."""
        ...

    def propose(self, *, plan: bytes, receipts: Sequence[bytes] = ()) -> bytes:
        """Return the silo's signed verdict on a plan. Nothing is spent."""
        ...

    def deliver(self, bundle: bytes) -> bytes:
        """Return the silo's signed acknowledgement of a result."""
        ...
