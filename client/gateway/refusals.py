"""What a silo says when it does not answer: public words, whatever went wrong inside."""

from __future__ import annotations

from silosynth.common.errors import (
    InvalidCheckpoint,
    InvalidPlan,
    InvalidSampler,
    LedgerUnavailable,
    Refused,
    RunFailed,
    SilosynthError,
    Untrusted,
)
from silosynth.common.messages import Refusal

_MOST_CHARACTERS = 1000
_PUBLIC = (Refused, InvalidPlan, InvalidSampler, RunFailed, Untrusted)


def public_error(error: Exception) -> SilosynthError:
    """Return the error to tell others.

    Guarantees: an error of ours that speaks of plans, requests and policies alone passes; one that
    may speak of the table, of the disk, or is not ours, becomes a fixed sentence.
    """
    if isinstance(error, LedgerUnavailable):
        return LedgerUnavailable(
            "the silo's ledger cannot be used", hint="ask the silo's operator, whose log says why"
        )
    if isinstance(error, InvalidCheckpoint):
        return Refused(
            "this silo's copy of the plan's checkpoint cannot be used",
            hint="ask the silo's operator, whose log says why",
        )
    if isinstance(error, _PUBLIC):
        return error
    return Refused(
        "the table could not be counted", hint="ask the silo's operator, whose log says why"
    )


def plain(text: str) -> str:
    """Return text that any reader can carry: printable ASCII, and not long."""
    spelled = text.encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else " " for c in spelled)[:_MOST_CHARACTERS]


def refuse(error: SilosynthError, *, silo: str, request_id: str | None) -> Refusal:
    """Return the refusal that tells ``error``."""
    return Refusal(
        request_id=request_id,
        silo=silo,
        code=error.code,
        message=plain(error.message),
        hint=None if error.hint is None else plain(error.hint),
    )
