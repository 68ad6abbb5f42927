"""Gateways of several tables, one a silo, asked in the process that simulates them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from silosynth.client.families import FamilyRows
from silosynth.client.gateway import Gateway, TablesDataset
from silosynth.client.ledger import Ledger
from silosynth.client.noise import BitSource
from silosynth.client.policy import Policy
from silosynth.client.source import load_secret, make_secret
from silosynth.client.sums import SUMS, SumMember, SumStore
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.messages import Request, encode_request, encode_sum_statement
from silosynth.common.plan import Plan, encode_plan, plan_units
from silosynth.common.tables import TablesSchema
from silosynth.server.coordinator import Agree, Answered, Event, Stated
from silosynth.simulations.one_process import HeldLedgers, write_private


class Place(Protocol):
    """Where one simulated silo keeps its things."""

    @property
    def path(self) -> Path:
        """Return the silo's directory."""

    @property
    def ledger(self) -> Path:
        """Return the path of its ledger."""

    @property
    def secret(self) -> Path:
        """Return the path of the secret that orders its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyGateways:
    """Own the gateways of the silos of a plan; ``tables`` are each silo's: files, or in memory.

    Guarantees: each silo has a ledger of its own, and is opened again where it stopped. ``ledgers``
    holds them in memory, where nothing has to be there after a loss of power.
    """

    plan: Plan
    schema: TablesSchema
    tables: Mapping[str, Mapping[str, Path | pa.Table]]
    tell: Callable[[str], None]
    bits: Mapping[str, BitSource] | None = None
    ledgers: HeldLedgers | None = None
    _open: dict[str, Gateway] = field(default_factory=dict, init=False)

    def open(self, places: Mapping[str, Place], stack: ExitStack) -> None:
        """Open the gateway of every silo; ``stack`` closes their ledgers."""
        for silo in self.plan.silos:
            _set_up(places[silo])
            project = Scope(kind=ScopeKind.PROJECT, name=self.plan.project)
            caps = {project: plan_units(self.plan)}
            path = places[silo].ledger
            if self.ledgers is None:
                ledger = stack.enter_context(Ledger.open(path, caps=caps))
            else:
                ledger = self.ledgers.open(path, caps=caps)
            self._open[silo] = self._gateway(silo, place=places[silo], ledger=ledger)

    def send(self, requests: Sequence[Request]) -> Iterable[Event]:
        """Yield what each silo answers."""
        sealed = encode_plan(self.plan)
        for request in requests:
            data = self._open[request.silo].answer(plan=sealed, request=encode_request(request))
            yield Answered(phase=request.phase, silo=request.silo, data=data)

    def agree(self, steps: Sequence[Agree]) -> Iterator[Event]:
        """Yield each silo's word on its way to a sum."""
        sealed = encode_plan(self.plan)
        for ask in steps:
            data = self._open[ask.silo].agree(plan=sealed, step=encode_sum_statement(ask.step))
            yield Stated(asked=ask.asked, session=ask.step.session, silo=ask.silo, data=data)

    def _gateway(self, silo: str, *, place: Place, ledger: Ledger) -> Gateway:
        tell = partial(_tell_of, silo, self.tell)
        rows = FamilyRows(
            self.schema,
            self.tables[silo],
            secret=load_secret(place.secret),
            spill=place.path,
            tell_operator=tell,
        )
        return Gateway(
            silo=silo,
            datasets={
                self.plan.dataset: TablesDataset(schema=self.schema, rows=rows, policy=Policy())
            },
            ledger=ledger,
            sums=SumMember(silo=silo, store=self._sums(place), key=None),
            bits=None if self.bits is None else self.bits[silo],
            tell_operator=tell,
        )

    def _sums(self, place: Place) -> SumStore:
        """Return where a silo keeps its sessions, never ahead of its ledger."""
        if self.ledgers is None:
            return SumStore(place.path / SUMS)
        write = partial(self.ledgers.write_after, place.ledger)
        return SumStore(place.path / SUMS, write=write)


def _tell_of(silo: str, tell: Callable[[str], None], line: str) -> None:
    tell(f"{silo}: {line}")


def _set_up(place: Place) -> None:
    """Make what a silo needs for its owner alone, where it is not there yet."""
    place.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.path.chmod(0o700)
    if not place.ledger.exists():
        write_private(place.ledger, Ledger.blank())
    if not place.secret.exists():
        make_secret(place.secret)
