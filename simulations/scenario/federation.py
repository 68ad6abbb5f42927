"""The real silos of a scenario: keys, ledgers and gateways, killed and opened as the world says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from silosynth.client.gateway import Asked, Dataset, Gateway, ask_rows
from silosynth.client.ledger import Ledger
from silosynth.client.maps import ABSENT, NO_MAP, SiloMap
from silosynth.client.noise import BitSource
from silosynth.client.policy import Approval, Policy, Rules, SiloIdentity
from silosynth.client.source import Source, open_table
from silosynth.client.source.bounding import bounding
from silosynth.client.sums import SUMS, SumMember, SumStore
from silosynth.common.audit import Scope, ScopeKind, Verdict
from silosynth.common.codec import Codec
from silosynth.common.errors import SilosynthError
from silosynth.common.messages import (
    Release,
    Request,
    decode_release,
    digest_cells,
    encode_release,
    encode_request,
)
from silosynth.common.plan import Method, Plan, plan_units
from silosynth.common.schema import Schema
from silosynth.common.trust import Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.simulations.one_process import HeldRecords, Remembered, write_private
from silosynth.simulations.world import Lie

COORDINATOR = "coordinator"
LEDGER = "ledger.sqlite"


class RequestBits(BitSource, Protocol):
    """Bits for tests, which begin anew for each request: a killed gateway draws them again."""

    def begin(self, request: str) -> None:
        """Begin the bits of one request, by its phase and round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsOf:
    """How silos' tables are read: their maps by silo, and the column that names persons.

    ``rows_per_person`` is the most that a plan gets of one; what it asks for by default.
    """

    maps: Mapping[str, SiloMap] = field(default_factory=dict)
    person_column: str | None = None
    rows_per_person: int | None = None

    def map_of(self, silo: str, plan: Plan) -> SiloMap:
        """Return a silo's map; without one, the columns that the plan says it lacks are absent."""
        lacked = dict.fromkeys((plan.lacks or {}).get(silo, ()), ABSENT)
        return self.maps.get(silo) or SiloMap.model_validate({"columns": lacked})


class Killed(BaseException):
    """The gateway died at a step of its work. Not an Exception: no handler may answer for it."""


@dataclass(slots=True, kw_only=True)
class Member:
    """One silo: what its disk keeps through every crash, and its gateway while that runs.

    ``time`` is its clock; ``dies_at`` the step at which it is about to die.
    """

    name: str
    key: SigningKey
    table: pa.Table = field(repr=False)
    directory: Path
    person: bool
    lie: Lie | None
    bits: RequestBits | None
    now: Callable[[], datetime]
    silo_map: SiloMap = NO_MAP
    secret: bytes = field(default_factory=partial(os.urandom, 32), repr=False)
    dies_at: str | None = None
    opened: tuple[Gateway, Ledger] | None = None
    ledger: bytes = field(default=b"", repr=False)
    records: HeldRecords = field(default_factory=HeldRecords, repr=False)
    kept: bytes | None = field(default=None, repr=False)
    told: list[str] = field(default_factory=list, repr=False)

    def reached(self, step: str) -> None:
        """Die where it was said."""
        if step == self.dies_at:
            self.dies_at = None
            raise Killed

    def close(self) -> None:
        """End the gateway: what its ledger has committed stays, as on a disk."""
        if self.opened is not None:
            self.ledger = self.opened[1].image()
            self.opened[1].close()
            self.opened = None


class Federation:
    """Own the silos of one scenario, and speak to their real gateways as the coordinator."""

    def __init__(
        self,
        plan: Plan,
        schema: Schema,
        *,
        members: Mapping[str, Member],
        key: SigningKey,
        rows: RowsOf,
    ) -> None:
        """Take a plan whose roster holds the members' keys, and the coordinator's key."""
        self._plan, self._schema, self._members, self._key = plan, schema, members, key
        self._rows = rows
        self._codec, self._once = Codec(schema), Remembered()
        self._caps = {
            Scope(kind=ScopeKind.DATASET, name=plan.dataset): plan_units(plan),
            Scope(kind=ScopeKind.CONSUMER, name=COORDINATOR): plan_units(plan),
            Scope(kind=ScopeKind.PROJECT, name=plan.project): plan_units(plan),
        }
        for member in members.values():
            member.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            member.ledger = Ledger.blank(clock=member.now)

    @property
    def key(self) -> SigningKey:
        """Return the key that the coordinator signs with."""
        return self._key

    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all gateways, and leave their ledgers as files that an auditor can open."""
        for member in self._members.values():
            member.close()
            write_private(member.directory / LEDGER, member.ledger)

    def gateway(self, silo: str) -> Gateway:
        """Return a silo's gateway, started anew if it was killed."""
        return self._open(self._members[silo])[0]

    def kill(self, silo: str) -> None:
        """End a silo's gateway between two messages."""
        self._members[silo].close()

    def dying(self, silo: str, *, step: str, call: Callable[[Gateway], bytes]) -> None:
        """Let the gateway die at a step of a call; its answer, if it has one, is lost."""
        member = self._members[silo]
        gateway = self._open(member)[0]
        member.dies_at = step
        try:
            call(gateway)
        except Killed:
            pass
        finally:
            member.dies_at = None
            member.close()

    def answer(self, silo: str, request: Request, *, plan: bytes) -> Callable[[Gateway], bytes]:
        """Return what asks a silo's gateway for a release, with what a liar makes of it."""
        member = self._members[silo]
        sealed = seal(encode_request(request), purpose=Purpose.REQUEST, key=self._key)
        step = request.training.round if request.training else 0

        def call(gateway: Gateway) -> bytes:
            if member.bits is not None:
                member.bits.begin(f"{request.phase.value} {step}")
            if member.lie is Lie.STALE_LEDGER and member.kept is None:
                member.kept = self._open(member)[1].image()
            data = gateway.answer(plan=plan, request=sealed)
            return self._lied(member, request, data)

        return call

    def decide(self, silo: str, *, refuses: bool) -> None:
        """Record what a silo's person says to the plan, as the operator's desk does."""
        ledger = self._open(self._members[silo])[1]
        ledger.decide(
            self._plan.digest,
            Verdict.REFUSED if refuses else Verdict.APPROVED,
            signer=self._key.public,
            why="the scenario says so",
            by=f"operator of {silo}",
        )

    def ledger(self, silo: str) -> Ledger:
        """Return a silo's open ledger."""
        return self._open(self._members[silo])[1]

    def _open(self, member: Member) -> tuple[Gateway, Ledger]:
        """Open a silo's ledger and gateway, unless they are."""
        if member.opened is not None:
            return member.opened
        plan, silo_map = self._plan, member.silo_map
        asked = plan.privacy.rows_per_person
        dataset = Dataset(
            schema=self._schema,
            rows=self._source(member),
            policy=Policy(rows_per_person=self._rows.rows_per_person or asked),
            bounded=self._rows.person_column is not None,
            lacks=silo_map.absent,
            map_digest=silo_map.digest(member.secret) if silo_map.columns else None,
        )
        ledger = Ledger.hold(
            member.ledger,
            path=member.directory / LEDGER,
            caps=self._caps,
            clock=member.now,
            reached=member.reached,
        )
        automatic = Approval(
            automatic=not member.person,
            max_epsilon=float("inf"),
            max_delta=1.0,
            methods=tuple(Method),
        )
        gateway = Gateway(
            silo=member.name,
            datasets={plan.dataset: dataset},
            ledger=ledger,
            identity=SiloIdentity(key=member.key, coordinators={self._key.public: COORDINATOR}),
            rules=Rules(rosters={plan.project: plan.roster}, approval=automatic),
            records=member.records,
            sums=SumMember(
                silo=member.name, store=SumStore(member.directory / SUMS), key=member.key
            ),
            bits=member.bits,
            tell_operator=member.told.append,
            reached=member.reached,
            once=self._once,
        )
        member.opened = gateway, ledger
        return member.opened

    def _source(self, member: Member) -> Source:
        """Return a silo's rows, brought to the schema by its map."""
        person = self._rows.person_column
        tell = member.told.append
        return open_table(
            member.table,
            schema=self._schema,
            person_column=person,
            bounding=None if person is None else bounding(member.secret, tell_operator=tell),
            silo_map=member.silo_map,
            tell_operator=tell,
            codec=self._codec,
        )

    def _lied(self, member: Member, request: Request, data: bytes) -> bytes:
        """Return what a silo sends in place of its answer; an honest one sends that."""
        match member.lie:
            case Lie.RUBBISH:
                return hashlib.sha256(data).digest() * 8
            case Lie.NO_NOISE:
                return self._bare(member, request, data)
            case Lie.STALE_LEDGER if member.kept is not None:
                member.close()
                member.ledger = member.kept
        return data

    def _bare(self, member: Member, request: Request, data: bytes) -> bytes:
        """Return a release whose cells are counts without noise, signed as if they were right."""
        try:
            release = decode_release(data, trusted=(member.key.public,))
        except SilosynthError:
            return data
        if not isinstance(release, Release) or release.receipt.sum is not None:
            return data
        plan = self._plan
        asked = Asked(
            rows=self._source(member),
            schema=self._schema,
            plan=plan,
            request=request,
            rows_per_person=plan.privacy.rows_per_person,
            plan_digest=plan.digest,
            lacks=member.silo_map.absent,
        )
        cells = tuple(ask_rows(asked))
        receipt = release.receipt.model_copy(update={"cells_digest": digest_cells(cells)})
        return encode_release(Release(receipt=receipt, marginals=cells), key=member.key)


def with_roster(plan: Plan, keys: Mapping[str, SigningKey]) -> Plan:
    """Return a plan that names each silo's key."""
    data = plan.model_dump(mode="json") | {"roster": {s: keys[s].public for s in plan.silos}}
    return Plan.model_validate(data)
