"""What a request carries in shared trust: every participant's keys, and its word on the set."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import MOST_MEMBERS, MOST_SESSIONS
from silosynth.common.trust import plain_bytes, plain_text

MOST_ENVELOPE = 8192
MOST_STEP_BYTES = 2048 + MOST_MEMBERS * (MOST_ENVELOPE + 4)

Envelope = Annotated[str, Field(max_length=MOST_ENVELOPE)]
Session = Annotated[int, Field(ge=1, le=MOST_SESSIONS)]


class SumProof(BaseModel):
    """The statements of one session, in base64, in the order of the members' names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: Session
    adverts: tuple[Envelope, ...] = Field(min_length=2, max_length=MOST_MEMBERS)
    votes: tuple[Envelope, ...] = Field(min_length=2, max_length=MOST_MEMBERS)


def pack(statement: bytes) -> str:
    """Return the text form of a statement."""
    return plain_text(statement)


def unpack(text: str) -> bytes:
    """Return the statement of a text form; raise InvalidPlan when it is none."""
    try:
        return plain_bytes(text)
    except ValueError:
        raise InvalidPlan("a statement about a sum is not base64") from None
