"""What is asked at a desk, which plan is meant, and how an answer is read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from silosynth.client.desk.facts import Facts
from silosynth.common.digest import DIGEST_PATTERN
from silosynth.common.errors import InvalidArgument, error_of

_SHORTEST_DIGEST = 8
_DIGITS = re.compile(f"[0-9a-f]{{{_SHORTEST_DIGEST},64}}")


class Command(StrEnum):
    """What may be asked."""

    PENDING = "pending"
    PLAN = "plan"
    DECIDE = "decide"
    TAKE_IN = "take-in"
    RELEASES = "releases"
    SPENT = "spent"
    VERIFY = "verify"
    EXPORT = "export"
    NOTES = "notes"
    ROSTERS = "rosters"
    BACKUP = "backup"


class Question(BaseModel):
    """A command, and for a decision what it needs.

    Who decides is no part of it: that is asked of the operating system. ``sudo_user`` counts where
    that says root. ``coordinator`` is the name of who signed the plan, ``signed`` an approver's
    decision in base64, ``upto`` the last entry of a backup that was begun and ``offset`` the bytes
    of it that have been read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[3] = 3
    command: Command
    plan: str | None = Field(default=None, max_length=256)
    coordinator: str | None = Field(default=None, max_length=256)
    approve: bool | None = None
    although_unfit: bool = False
    why: str | None = Field(default=None, max_length=1950)
    sudo_user: int | None = Field(default=None, ge=0, lt=2**32)
    signed: str | None = Field(default=None, max_length=16_384)
    upto: int | None = Field(default=None, ge=1, lt=2**62)
    offset: int = Field(default=0, ge=0, lt=2**62)


def read_answer(data: bytes) -> Facts:
    """Return the data of an answer; raise the error that it tells."""
    reply = json.loads(data)
    if "error" in reply:
        fault = reply["error"]
        raise error_of(fault["code"])(fault["message"], hint=fault.get("hint"))
    answer: Facts = reply["data"]
    return answer


def is_digest(name: str) -> bool:
    """Say whether a name is a whole digest."""
    return re.fullmatch(DIGEST_PATTERN, name) is not None


def find_plan(plans: Sequence[Facts], name: str, *, coordinator: str | None = None) -> Facts:
    """Return the one plan with an id, or with a digest that begins so.

    A plan's id is chosen by its coordinator, so it never stands for what may be the start of
    another plan's digest: a name of eight or more hexadecimal digits is one of a digest alone.

    Raises InvalidArgument when none or several do.
    """
    digits = name.removeprefix("sha256:").lower()
    if name.startswith("sha256:") or _DIGITS.fullmatch(digits):
        found = [p for p in plans if _names_digest(digits, p)]
    else:
        found = [p for p in plans if p.get("id") == name]
    if coordinator is not None:
        found = [p for p in found if p.get("coordinator") == coordinator]
    if len(found) == 1:
        return found[0]
    if found:
        hint = "give the digest, and --coordinator where several sent the same plan"
        raise InvalidArgument(f"{len(found)} plans are called {name!r}", hint=hint)
    raise InvalidArgument(f"no plan {name!r} waits", hint="see 'silosynth silo pending'")


def _names_digest(digits: str, plan: Facts) -> bool:
    """Say whether digits are long enough and begin a plan's digest."""
    digest = str(plan["digest"]).removeprefix("sha256:")
    return len(digits) >= _SHORTEST_DIGEST and digest.startswith(digits)
