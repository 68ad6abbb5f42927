"""What the silo's page asks the gateway, by its operator's socket and no other way."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from threading import Lock
from typing import Any

from silosynth.client.desk import (
    Command,
    Facts,
    Question,
    open_gateway_desk,
    sudo_user,
)
from silosynth.client.policy import PolicyFile, load_policy
from silosynth.common.errors import InvalidArgument

_KEPT_SECONDS, _LOOK_SECONDS = 5.0, 1.0
_GONE = "this plan waits no longer: it was decided a moment ago, or taken back"


class Asking:
    """Own what was told last by a gateway; who looks often asks it no more often than it takes.

    Guarantees: decisions are made one after the other, each about a plan that still waits, so of
    two browsers that decide the same plan one is told that it waits no longer.
    """

    def __init__(self, policy: Path) -> None:
        """Read the silo's policy; raise InvalidPolicy for one that cannot be used."""
        self.policy: PolicyFile = load_policy(policy)
        self._mark = (0.0, "")
        self._left: tuple[float, str, list[Facts]] = (0.0, "", [])
        self._lock, self._deciding = Lock(), Lock()

    def waits(self) -> list[Facts]:
        """Return what waits for a person."""
        return list(self._put(Question(command=Command.PENDING))["plans"])

    def spent(self) -> list[Facts]:
        """Return what each budget has spent and has left."""
        return list(self._put(Question(command=Command.SPENT))["scopes"])

    def releases(self) -> list[Facts]:
        """Return all that ever left, oldest first; read again when something was spent."""
        spent = json.dumps(self.spent())
        with self._lock:
            since, told, found = self._left
            if told != spent or time.monotonic() - since > _KEPT_SECONDS:
                found = list(self._put(Question(command=Command.RELEASES))["releases"])
                self._left = (time.monotonic(), spent, found)
        return found

    def rosters(self) -> list[Facts]:
        """Return the rosters that the silo goes by."""
        return list(self._put(Question(command=Command.ROSTERS))["rosters"])

    def find(self, digest: str) -> Facts:
        """Return what waits by its whole digest, without its algorithm's name.

        Raises InvalidArgument where it does not wait.
        """
        for plan in self.waits():
            if plan["digest"] == f"sha256:{digest}":
                return plan
        raise InvalidArgument(_GONE)

    def sealed(self, digest: str) -> str:
        """Return a plan that waits as its coordinator signed it, in base64."""
        plan = self.find(digest)
        question = Question(
            command=Command.PLAN, plan=plan["digest"], coordinator=plan.get("coordinator")
        )
        return str(self._put(question)["sealed"])

    def decide(self, digest: str, *, approve: bool, why: str | None, although: bool) -> Facts:
        """Record the decision of the user whose process this is about a plan that waits."""
        with self._deciding:
            plan = self.find(digest)
            return self._put(
                Question(
                    command=Command.DECIDE,
                    plan=plan["digest"],
                    coordinator=plan.get("coordinator"),
                    approve=approve,
                    why=why,
                    although_unfit=although,
                    sudo_user=sudo_user(),
                )
            )

    def take_in(self, signed: str, *, although: bool) -> Facts:
        """Take in what an approver signed, in base64."""
        with self._deciding:
            return self._put(
                Question(command=Command.TAKE_IN, signed=signed, although_unfit=although)
            )

    def mark(self) -> str:
        """Return what waits and what is spent, in short, at most a second old."""
        with self._lock:
            since, mark = self._mark
            if mark and time.monotonic() - since < _LOOK_SECONDS:
                return mark
            waits = [[p["digest"], p.get("signed"), p.get("fit")] for p in self.waits()]
            told = json.dumps([waits, self.spent()], default=str)
            mark = hashlib.sha256(told.encode()).hexdigest()[:16]
            self._mark = (time.monotonic(), mark)
        return mark

    def _put(self, question: Question) -> Facts:
        """Ask the gateway."""
        with open_gateway_desk(self.policy) as ask:
            return ask(question)


def api_of(asking: Asking) -> dict[str, Any]:
    """Return what the command line says with --json, by the last word of its command."""
    return {
        "pending": lambda: {"plans": asking.waits()},
        "spent": lambda: {"scopes": asking.spent()},
        "releases": lambda: {"releases": asking.releases()},
        "roster": lambda: {"rosters": asking.rosters()},
    }
