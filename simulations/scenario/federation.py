"""The real silos of a scenario: keys, ledgers and gateways, killed and opened as the world says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from silosynth.client.gateway import Dataset, Gateway, KeepsRecords
from silosynth.client.ledger import Ledger
from silosynth.client.policy import Approval, Policy, Rules, SiloIdentity
from silosynth.client.sums import SUMS, Once, SumMember, SumStore, each_time
from silosynth.common.audit import Scope, ScopeKind, Verdict
from silosynth.common.codec import Codec
from silosynth.common.messages import Request, encode_request
from silosynth.common.plan import Method, Plan, plan_units
from silosynth.common.schema import Schema
from silosynth.common.trust import PublicKey, Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.simulations.one_process import (
    PlanShelf,
    Remembered,
    ShelvedLedger,
    write_private,
)
from silosynth.simulations.scenario.member import Killed, Member, RowsOf, bits_of, lied, source_of

COORDINATOR = "coordinator"
LEDGER = "ledger.sqlite"
_MOST_AWAKE = 1000
"""Ledgers whose connections are open at a time: the others rest."""


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
        self._plan, self._members, self._key = plan, members, key
        self._rows = rows
        self._codec, self._once = Codec(schema), Remembered()
        self._caps, self._shelf = caps_of(plan), PlanShelf()
        self._ledgers: dict[str, ShelvedLedger] = {}
        self._awake: dict[str, Member] = {}
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
            whole = self._whole(member)
            member.close()
            write_private(member.directory / LEDGER, whole)

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
            member.keep()
            data = gateway.answer(plan=plan, request=sealed)
            return lied(member, data)

        return call

    def decide(self, silo: str, *, refuses: bool) -> None:
        """Record what a silo's person says to the plan, as the operator's desk does."""
        member = self._members[silo]
        ledger = self._open(member)[1]
        decide(member, ledger, self._plan, coordinator=self._key.public, refuses=refuses)

    def ledger(self, silo: str) -> ShelvedLedger:
        """Return a silo's open ledger."""
        self._open(self._members[silo])
        return self._ledgers[silo]

    def _open(self, member: Member) -> tuple[Gateway, Ledger]:
        """Open a silo's ledger and gateway, unless they are; let another's ledger rest for it."""
        self._awake.pop(member.name, None)
        self._awake[member.name] = member
        if len(self._awake) > _MOST_AWAKE:
            self._awake.pop(next(iter(self._awake))).rest()
        if member.opened is not None:
            return member.opened
        ledger = self._ledgers[member.name] = self._hold(member, caps=self._caps)
        gateway = make_gateway(
            member,
            plan=self._plan,
            codec=self._codec,
            rows=self._rows,
            ledger=ledger,
            coordinator=self._key.public,
            records=member.records,
            once=self._once,
        )
        member.opened, member.ledger = (gateway, ledger), b""
        return member.opened

    def _hold(self, member: Member, *, caps: Mapping[Scope, int]) -> ShelvedLedger:
        """Open a silo's ledger, whose plans that wait are on the shelf."""
        return ShelvedLedger.hold(
            member.ledger,
            path=member.directory / LEDGER,
            caps=caps,
            clock=member.now,
            reached=member.reached,
        ).beside(self._shelf)

    def _whole(self, member: Member) -> bytes:
        """Return a silo's ledger as its file is to hold it: with the plans that wait."""
        if member.opened is not None:
            return self._ledgers[member.name].whole()
        with self._hold(member, caps={}) as ledger:
            return ledger.whole()


def caps_of(plan: Plan) -> dict[Scope, int]:
    """Return the budgets of a silo that has as much as the plan takes, and no more."""
    return {
        Scope(kind=ScopeKind.DATASET, name=plan.dataset): plan_units(plan),
        Scope(kind=ScopeKind.CONSUMER, name=COORDINATOR): plan_units(plan),
        Scope(kind=ScopeKind.PROJECT, name=plan.project): plan_units(plan),
    }


def make_gateway(
    member: Member,
    *,
    plan: Plan,
    codec: Codec,
    rows: RowsOf,
    ledger: Ledger,
    coordinator: PublicKey,
    records: KeepsRecords,
    once: Once = each_time,
) -> Gateway:
    """Return a silo's gateway over its open ledger.

    Args: plan: names the silos' keys. coordinator: whose plans are read.
    """
    silo_map = member.silo_map
    dataset = Dataset(
        schema=codec.schema,
        rows=source_of(member, rows=rows, codec=codec),
        policy=Policy(rows_per_person=rows.rows_per_person or plan.privacy.rows_per_person),
        bounded=rows.person_column is not None,
        lacks=silo_map.absent,
        map_digest=silo_map.digest(member.secret) if silo_map.columns else None,
    )
    automatic = Approval(
        automatic=not member.person,
        max_epsilon=float("inf"),
        max_delta=1.0,
        methods=tuple(Method),
    )
    return Gateway(
        silo=member.name,
        datasets={plan.dataset: dataset},
        ledger=ledger,
        identity=SiloIdentity(key=member.key, coordinators={coordinator: COORDINATOR}),
        rules=Rules(rosters={plan.project: plan.roster}, approval=automatic),
        records=records,
        sums=SumMember(
            silo=member.name,
            store=SumStore(member.directory / SUMS),
            key=member.key,
            once=once,
        ),
        bits=bits_of(member, plan),
        tell_operator=member.told.append,
        reached=member.reached,
        once=once,
    )


def decide(
    member: Member, ledger: Ledger, plan: Plan, *, coordinator: PublicKey, refuses: bool
) -> None:
    """Record what a silo's person says to a plan, as the operator's desk does."""
    ledger.decide(
        plan.digest,
        Verdict.REFUSED if refuses else Verdict.APPROVED,
        signer=coordinator,
        why="the scenario says so",
        by=f"operator of {member.name}",
    )


def with_roster(plan: Plan, keys: Mapping[str, SigningKey]) -> Plan:
    """Return a plan that names each silo's key."""
    data = plan.model_dump(mode="json") | {"roster": {s: keys[s].public for s in plan.silos}}
    return Plan.model_validate(data)
