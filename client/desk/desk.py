"""The operator's desk: what a silo's own people ask of its ledger, beside a gateway or without one.

Every answer is plain data of public facts: plans, costs, digests, heads. Only ``notes`` may speak
of the table; they are kept in the gateway's memory and told over the operator's socket alone.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from threading import Lock
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from silosynth.client.learning.checkpoints import plan_checkpoint
from silosynth.client.ledger.ledger import Ledger
from silosynth.client.ledger.waiting import WaitingPlan
from silosynth.client.policy.file import PolicyFile
from silosynth.client.policy.rules import alone_epsilon, ledger_epsilon
from silosynth.common.accounting.cost import RHO_UNIT
from silosynth.common.accounting.zcdp import cks_epsilon, held_epsilon
from silosynth.common.audit.entries import Scope, Verdict
from silosynth.common.errors import InvalidArgument, SilosynthError, error_of
from silosynth.common.plan.plan import Plan, decode_plan
from silosynth.common.trust.keys import Purpose, SigningKey
from silosynth.common.trust.seal import seal, unseal

Facts = Mapping[str, Any]
_SHORTEST_DIGEST = 8
_MOST_NOTES = 100


class Command(StrEnum):
    """What may be asked."""

    PENDING = "pending"
    DECIDE = "decide"
    RELEASES = "releases"
    SPENT = "spent"
    VERIFY = "verify"
    EXPORT = "export"
    NOTES = "notes"


class Question(BaseModel):
    """A command, and for a decision what it needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    command: Command
    plan: str | None = Field(default=None, max_length=256)
    approve: bool | None = None
    why: str | None = Field(default=None, max_length=2000)
    by: str | None = Field(default=None, max_length=256)


class Notes:
    """Own the newest sentences for the operator, in memory alone: they may speak of the data."""

    def __init__(self, *, heard: Callable[[], None] = lambda: None) -> None:
        """Begin with none; ``heard`` is called at each, without its text."""
        self._notes: deque[str] = deque(maxlen=_MOST_NOTES)
        self._lock = Lock()
        self._heard = heard

    def tell(self, sentence: str) -> None:
        """Keep a sentence."""
        with self._lock:
            self._notes.append(sentence)
        self._heard()

    def all(self) -> list[str]:
        """Return what is kept, oldest first."""
        with self._lock:
            return list(self._notes)


class Desk:
    """Answer an operator's questions from an open ledger."""

    def __init__(
        self, *, policy: PolicyFile, key: SigningKey, ledger: Ledger, notes: Notes | None = None
    ) -> None:
        """Take what answers are made from."""
        self._policy = policy
        self._key = key
        self._ledger = ledger
        self._notes = notes or Notes()

    def ask(self, question: Question) -> Facts:
        """Return the answer to a question; raise a SilosynthError when there is none."""
        answers: dict[Command, Callable[[], Facts]] = {
            Command.PENDING: lambda: {"plans": self._pending()},
            Command.DECIDE: lambda: self._decide(question),
            Command.RELEASES: lambda: {"releases": self._releases()},
            Command.SPENT: lambda: {"scopes": self._spent()},
            Command.VERIFY: self._verify,
            Command.EXPORT: self._export,
            Command.NOTES: lambda: {"notes": self._notes.all()},
        }
        return answers[question.command]()

    def answer(self, data: bytes) -> bytes:
        """Answer a question's bytes; an error is an answer, too."""
        try:
            reply: Facts = {"data": self.ask(Question.model_validate_json(data))}
        except ValidationError:
            reply = {"error": {"code": InvalidArgument.code, "message": "no such question"}}
        except SilosynthError as err:
            reply = {"error": {"code": err.code, "message": err.message, "hint": err.hint}}
        return json.dumps(reply).encode()

    def _pending(self) -> list[Facts]:
        """Return the facts of each plan that waits."""
        return [self._facts(waiting) for waiting in self._ledger.pending()]

    def _facts(self, waiting: WaitingPlan) -> Facts:
        """Return what a person has to know of a plan to decide about it."""
        consumers = self._policy.consumers()
        try:
            opened = unseal(waiting.plan, purpose=Purpose.PLAN, trusted=consumers.keys())
            plan = decode_plan(opened.body)
        except SilosynthError as err:
            # Its coordinator left the policy while it waited: it may be refused, not approved.
            return {"digest": waiting.plan_digest, "at": waiting.at, "unusable": err.message}
        return {
            "id": plan.id,
            "digest": waiting.plan_digest,
            "at": waiting.at,
            "coordinator": consumers[opened.key],
            **_plan_facts(plan),
        }

    def _decide(self, question: Question) -> Facts:
        """Record a decision about one plan."""
        if question.plan is None or question.approve is None or not question.by:
            raise InvalidArgument("a decision needs a plan, a verdict and who decides")
        plan = self._named(question.plan)
        if question.approve and "unusable" in plan:
            raise InvalidArgument(
                f"plan {plan['digest']} cannot be approved: {plan['unusable']}", hint="refuse it"
            )
        verdict = Verdict.APPROVED if question.approve else Verdict.REFUSED
        why = question.why or verdict.value
        decision = self._ledger.decide(plan["digest"], verdict, why=why, by=question.by)
        return {"plan": plan, "verdict": verdict.value, "at": decision.at, "head": decision.head}

    def _named(self, name: str) -> Facts:
        """Return the plan that waits by a name, or the digest of one that was decided before."""
        if self._ledger.decision(name) is not None:
            return {"digest": name}
        return find_plan(self._pending(), name)

    def _releases(self) -> list[Facts]:
        """Return every release, with what it cost."""
        account = self._ledger.verify()
        return [
            {
                "request": r.request_id,
                "at": r.at,
                "bytes": r.size,
                "sha256": r.sha256,
                "rho": account.charges[r.request_id].cost_units / RHO_UNIT,
                "facts": dict(account.charges[r.request_id].facts),
            }
            for r in account.releases.values()
        ]

    def _spent(self) -> list[Facts]:
        """Return what each scope of the policy has spent and has left, as zCDP rho and epsilon.

        The epsilon is the zCDP conversion at the delta of the scope's budget, as the budget's is.
        """
        return [
            {
                "scope": scope.kind.value,
                "name": scope.name,
                **budget(self._ledger, scope),
                "spent_epsilon": spent_epsilon(self._ledger, scope, delta=stated.delta),
                "epsilon": stated.epsilon,
                "delta": stated.delta,
            }
            for scope, stated in sorted(self._policy.budgets().items())
        ]

    def _verify(self) -> Facts:
        """Check every page, entry and release of the ledger again."""
        account = self._ledger.verify()
        return {
            "head": self._ledger.head,
            "entries": account.entries,
            "charges": len(account.charges),
            "releases": len(account.releases),
            "decisions": len(account.decisions),
        }

    def _export(self) -> Facts:
        """Return the ledger's audit, sealed with the silo's key."""
        sealed = seal(self._ledger.audit(), purpose=Purpose.AUDIT, key=self._key)
        return {"audit": base64.b64encode(sealed).decode(), "key": self._key.public}


def budget(ledger: Ledger, scope: Scope) -> dict[str, float]:
    """Return what a scope has spent and has left, as zCDP rho."""
    return {
        "spent_rho": ledger.spent(scope) / RHO_UNIT,
        "remaining_rho": ledger.remaining(scope) / RHO_UNIT,
    }


def read_answer(data: bytes) -> Facts:
    """Return the data of an answer; raise the error that it tells."""
    reply = json.loads(data)
    if "error" in reply:
        fault = reply["error"]
        raise error_of(fault["code"])(fault["message"], hint=fault.get("hint"))
    answer: Facts = reply["data"]
    return answer


def find_plan(plans: Sequence[Facts], name: str) -> Facts:
    """Return the one plan with an id, or with a digest that begins so.

    Raises InvalidArgument when none or several do: a plan's id is chosen by its coordinator.
    """
    digits = name.removeprefix("sha256:")
    found = [
        p
        for p in plans
        if p.get("id") == name
        or (
            len(digits) >= _SHORTEST_DIGEST
            and str(p["digest"]).removeprefix("sha256:").startswith(digits)
        )
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidArgument(f"{len(found)} plans are called {name!r}", hint="give the digest")
    raise InvalidArgument(f"no plan {name!r} waits", hint="see 'silosynth silo pending'")


def _plan_facts(plan: Plan) -> dict[str, Any]:
    """Return what a plan asks, and what that costs."""
    return {
        "project": plan.project,
        "dataset": plan.dataset,
        "method": plan.method.value,
        "silos": list(plan.silos),
        "epsilon": plan.privacy.epsilon,
        "delta": plan.privacy.delta,
        "ledger_epsilon": ledger_epsilon(plan),
        "trust": plan.trust.value,
        "colluders": plan.colluders,
        "absent": plan.absent,
        "alone_epsilon": alone_epsilon(plan),
        "rows_per_person": plan.privacy.rows_per_person,
        "checkpoint": plan_checkpoint(plan),
        "phases": [
            {
                "name": phase.name.value,
                "marginals": phase.marginals,
                "cells": phase.cells,
                "noise_deviation": float(phase.sigma2) ** 0.5,
            }
            for phase in plan.phases
        ],
    }


def spent_epsilon(ledger: Ledger, scope: Scope, *, delta: float) -> float:
    """Return what a scope has spent as an epsilon; at its Rényi order once persons were sampled.

    That order was fixed for the whole budget, so of little that was spent it says much.
    """
    units, order = ledger.spent(scope), ledger.order(scope)
    if order is None or all(c.rdp is None for c in ledger.charges() if scope in c.scopes):
        return cks_epsilon(Fraction(units, RHO_UNIT), delta)
    return held_epsilon(units, order=order, delta=delta)
