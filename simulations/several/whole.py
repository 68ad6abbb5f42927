"""Run a whole plan on tables in memory, for whoever looks at what left the silos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from silosynth.client.ledger import Ledger
from silosynth.client.noise import BitSource
from silosynth.common.messages import Request, request_prefix
from silosynth.common.plan import Plan
from silosynth.common.tables import TablesSchema
from silosynth.server.coordinator import Answered, Event, State, make
from silosynth.server.driver import Journal
from silosynth.server.driver.drive import drive
from silosynth.simulations.audit import Ran
from silosynth.simulations.one_process import HeldLedgers, write_private
from silosynth.simulations.several.gateways import FamilyGateways


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a silo keeps its things, in a directory that is gone afterwards."""

    path: Path

    @property
    def ledger(self) -> Path:
        """Return the path of its ledger."""
        return self.path / "ledger.sqlite"

    @property
    def secret(self) -> Path:
        """Return the path of the secret that orders its rows."""
        return self.path / "persons.secret"


def run_families(
    plan: Plan,
    schema: TablesSchema,
    *,
    tables: Mapping[str, Mapping[str, pa.Table]],
    secret: bytes,
    directory: Path,
    bits: Mapping[str, BitSource],
) -> Ran:
    """Run a plan on tables in a directory; return answers and what ledgers were charged for it.

    Args:
        tables: by silo and table.
        secret: orders in each silo the rows that nothing else does.
    """
    places = {silo: _Place(path=directory / "silos" / silo) for silo in plan.silos}
    for place in places.values():
        place.path.mkdir(mode=0o700, parents=True)
        write_private(place.secret, secret)
    answers: list[tuple[Request, bytes]] = []
    ledgers = HeldLedgers()
    gateways = FamilyGateways(
        plan=plan, schema=schema, tables=tables, tell=lambda _: None, bits=bits, ledgers=ledgers
    )

    def send(requests: Sequence[Request]) -> list[Event]:
        events = list(gateways.send(requests))
        given = [event.data for event in events if isinstance(event, Answered)]
        answers.extend(zip(requests, given, strict=True))
        return events

    with (
        ExitStack() as stack,
        Journal(directory, plan_digest=plan.digest, durable=False) as journal,
    ):
        stack.callback(ledgers.close)
        gateways.open(places, stack)
        state = drive(plan, schema, journal=journal, send=send, agree=gateways.agree)
        ledgers.settle(sync=False)
    return Ran(
        answers=answers,
        charges=[_charged(place.ledger, plan) for place in places.values()],
        secrets=dict.fromkeys(places, secret),
        sampler=lambda: _made(state, directory / "result.sampler"),
    )


def _charged(path: Path, plan: Plan) -> dict[str, int]:
    """Return the units that a ledger was charged for each request of a plan."""
    prefix = request_prefix(plan.digest)
    with Ledger.open(path, caps={}) as ledger:
        charges = [c for c in ledger.charges() if c.request_id.startswith(prefix)]
    return {c.request_id: c.cost_units for c in charges}


def _made(state: State, path: Path) -> bytes:
    """Return the file of the sampler that a run ends in."""
    make(state).save(path)
    return path.read_bytes()
