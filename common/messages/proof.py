"""What all silos of a sum are sent alike: the statements of one session, and how large they may be.

A thousand silos are each sent a thousand statements: their JSON is made once for all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from silosynth.common.digest import canonical_json
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import MOST_COMPLETE, MOST_MEMBERS, MOST_SESSIONS, Plan
from silosynth.common.trust import plain_bytes, plain_text

MOST_ENVELOPE = 8192

Envelope = Annotated[str, Field(max_length=MOST_ENVELOPE)]
Session = Annotated[int, Field(ge=1, le=MOST_SESSIONS)]


class SumProof(BaseModel):
    """The statements of one session, in base64, in the order of the members' names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: Session
    adverts: tuple[Envelope, ...] = Field(min_length=2, max_length=MOST_MEMBERS)
    votes: tuple[Envelope, ...] = Field(min_length=2, max_length=MOST_MEMBERS)


def most_step_bytes(plan: Plan) -> int:
    """Return the most bytes that the statements of all silos of a plan take in a message."""
    return 2048 + max(len(plan.silos), MOST_COMPLETE) * (MOST_ENVELOPE + 4)


@lru_cache(1)
def proof_json(proof: SumProof) -> bytes:
    """Return the canonical JSON of a proof, as a request holds it.

    Of the last one alone: nobody approved it yet, and with its text it may hold 33 MB.
    """
    return canonical_json(proof.model_dump(mode="json"))


def pack(statement: bytes) -> str:
    """Return the text form of a statement."""
    return plain_text(statement)


def unpack(text: str) -> bytes:
    """Return the statement of a text form; raise InvalidPlan when it is none."""
    try:
        return plain_bytes(text)
    except ValueError:
        raise InvalidPlan("a statement about a sum is not base64") from None
