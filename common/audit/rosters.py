"""Changes of a roster as a ledger records them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from silosynth.common.audit.entries import Authority, canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterStep:
    """A change of a project's roster that was approved here, with the head that it left behind.

    ``roster`` is the digest of the roster that it led to, ``change`` that of what ``signer``
    signed, and ``statement`` the signed envelope in base64, so that an auditor can check it.
    """

    project: str
    version: int
    roster: str
    change: str
    signer: str
    by: str
    authority: Authority
    statement: str
    at: str
    sequence: int = 0
    head: str = ""


def roster_body(step: RosterStep) -> str:
    """Return the body of a change of a roster that was approved."""
    return canonical(
        {
            "kind": "roster",
            "project": step.project,
            "version": step.version,
            "roster": step.roster,
            "change": step.change,
            "signer": step.signer,
            "by": step.by,
            "authority": step.authority.value,
            "statement": step.statement,
            "at": step.at,
        }
    )


def read_roster(body: str, *, sequence: int, head: str) -> RosterStep:
    """Read the body of a change of a roster; raise KeyError or ValueError when it is none."""
    entry = json.loads(body)
    return RosterStep(
        project=entry["project"],
        version=entry["version"],
        roster=entry["roster"],
        change=entry["change"],
        signer=entry["signer"],
        by=entry["by"],
        authority=Authority(entry["authority"]),
        statement=entry["statement"],
        at=entry["at"],
        sequence=sequence,
        head=head,
    )
