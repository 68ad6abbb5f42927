"""Rosters and their changes: which key stands for which silo, and how that may become another.

A roster is a project's silos with their keys, and a version. A change is signed by a coordinator,
names the digest of the roster that it starts from, and is one version ahead of it: so it fits on
one roster alone, and none fits twice. Who holds a roster goes by it until a change to it was
approved there; a coordinator's signature lets nobody in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from silosynth.common.digest import DIGEST_PATTERN, canonical_json, digest_of
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import Name
from silosynth.common.roster.request import JoinRequest
from silosynth.common.trust import Opened, PublicKey, Purpose, SigningKey, unseal
from silosynth.common.trust.seal import seal

MOST_SILOS = 1_000
MOST_VERSION = 1_000_000
MOST_CHANGE_BYTES = 2**20
MOST_CHANGED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The silos of a project with their keys. Version 0 is one that no change led to."""

    project: str
    version: int
    silos: Mapping[str, PublicKey]

    @property
    def digest(self) -> str:
        """Return the digest of project, version, names and keys."""
        facts = {"project": self.project, "version": self.version, "silos": dict(self.silos)}
        return digest_of(canonical_json(facts))


class RosterChange(BaseModel):
    """What a coordinator signs: the roster that is to be, and what the roster is now.

    ``requests`` holds the request of each silo whose key is new, signed by that key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    project: Name
    roster: int = Field(ge=1, le=MOST_VERSION, description="the version that the roster will have")
    previous: str = Field(pattern=DIGEST_PATTERN)
    silos: Mapping[Name, PublicKey] = Field(min_length=1, max_length=MOST_SILOS)
    requests: Mapping[Name, JoinRequest] = Field(default_factory=dict, max_length=MOST_CHANGED)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.silos.values())) < len(self.silos):
            raise ValueError("two silos have the same key")
        if not set(self.requests) <= set(self.silos):
            raise ValueError("a request is of a silo that is not in the roster")
        return self

    @property
    def after(self) -> Roster:
        """Return the roster that is to be."""
        return Roster(project=self.project, version=self.roster, silos=dict(self.silos))

    @property
    def body(self) -> bytes:
        """Return what is signed, in canonical JSON."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """Return the digest of what is signed, by which persons and ledgers name the change."""
        return digest_of(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a change does to a roster: names, and of silos with a new key the requests."""

    added: Mapping[str, JoinRequest]
    replaced: Mapping[str, JoinRequest]
    removed: tuple[str, ...]


def make_change(
    now: Roster, silos: Mapping[str, PublicKey], *, requests: Collection[JoinRequest] = ()
) -> RosterChange:
    """Return the change that leads from a roster to these silos.

    Raises InvalidPlan when it cannot stand, as :func:`compare` does.
    """
    facts = {
        "project": now.project,
        "roster": now.version + 1,
        "previous": now.digest,
        "silos": dict(silos),
        "requests": {r.asked.silo: r.model_dump(mode="json") for r in requests},
    }
    try:
        change = RosterChange.model_validate(facts)
    except ValidationError as err:
        raise InvalidPlan(f"the roster cannot stand: {_first_fault(err)}") from None
    compare(now, change)
    return change


def seal_change(change: RosterChange, *, key: SigningKey) -> bytes:
    """Return a change in an envelope of the coordinator's."""
    return seal(change.body, purpose=Purpose.ROSTER, key=key)


def open_change(data: bytes, *, trusted: Collection[PublicKey]) -> tuple[RosterChange, PublicKey]:
    """Return a change and who signed it; its requests are not looked at yet.

    Raises Untrusted unless a trusted key signed it as a change, InvalidPlan when it is none.
    """
    if len(data) > MOST_CHANGE_BYTES:
        raise InvalidPlan(f"a change of a roster has at most {MOST_CHANGE_BYTES} bytes")
    opened: Opened = unseal(data, purpose=Purpose.ROSTER, trusted=trusted)
    try:
        change = RosterChange.model_validate_json(opened.body)
    except ValidationError as err:
        raise InvalidPlan(f"the change of a roster is not usable: {_first_fault(err)}") from None
    if change.body != opened.body:
        raise InvalidPlan("the change of a roster is not in its one spelling")
    return change, opened.key


def compare(now: Roster, change: RosterChange) -> Difference:
    """Return what a change does to a roster; raise InvalidPlan unless it fits on that one.

    Guarantees: the change starts from this very roster and is one version ahead; each new key asked
    for this place in this project itself, and a request that stands for a change of key names the
    key that is there now.

    Raises Untrusted when a signature of a request does not hold.
    """
    if (change.project, change.roster, change.previous) != (
        now.project,
        now.version + 1,
        now.digest,
    ):
        raise InvalidPlan(
            f"the change to version {change.roster} does not follow from version {now.version} of "
            f"the roster of project {now.project!r} as it is here",
            hint="compare 'silosynth silo roster' with the coordinator's 'silosynth roster show'",
        )
    new = {s: k for s, k in change.silos.items() if now.silos.get(s) != k}
    if set(change.requests) != set(new):
        raise InvalidPlan("the change of a roster needs one request for each new key")
    for silo, key in new.items():
        _check_request(change.requests[silo], silo=silo, key=key, now=now)
    removed = tuple(sorted(set(now.silos) - set(change.silos)))
    if not new and not removed:
        raise InvalidPlan("the change of a roster changes nothing")
    return Difference(
        added={s: change.requests[s] for s in sorted(new) if s not in now.silos},
        replaced={s: change.requests[s] for s in sorted(new) if s in now.silos},
        removed=removed,
    )


def _check_request(request: JoinRequest, *, silo: str, key: PublicKey, now: Roster) -> None:
    """Raise unless the holder of a new key asked for just this."""
    asked = request.check()
    if (asked.project, asked.silo, asked.key) != (now.project, silo, key):
        raise InvalidPlan(f"the request of silo {silo!r} asks for something else")
    if asked.replaces != now.silos.get(silo):
        raise InvalidPlan(
            f"the request of silo {silo!r} does not name the key that stands for it now",
            hint="have it made anew, with 'silosynth silo join --replace'",
        )
    if key in now.silos.values():
        raise InvalidPlan(f"the new key of silo {silo!r} stands for another silo")


def _first_fault(err: ValidationError) -> str:
    """Return what is wrong first, without what was given."""
    fault = err.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in fault["loc"])
    what = re.sub("^Value error, ", "", fault["msg"])
    return f"{where}: {what}" if where else what
