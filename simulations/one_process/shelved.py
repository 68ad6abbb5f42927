"""Ledgers whose plans that wait stand on a shelf, one for all silos of a simulation.

A plan names every silo's key. Where ten thousand silos wait for their persons, ten thousand ledgers
would hold ten thousand such plans. For simulations alone, as all of this room.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from silosynth.client.ledger import Ledger, WaitingPlan, check_size, restore_waiting


class PlanShelf:
    """Own sealed plans that wait at many silos, each once."""

    def __init__(self) -> None:
        """Hold none."""
        self._plans: dict[bytes, bytes] = {}

    def put(self, plan: bytes) -> bytes:
        """Keep a plan, and return what stands for it in a ledger."""
        stand_in = sha256(plan).digest()
        self._plans.setdefault(stand_in, plan)
        return stand_in

    @property
    def plans(self) -> dict[bytes, bytes]:
        """Return every plan, by what stands for it."""
        return self._plans


class ShelvedLedger(Ledger):
    """A ledger in memory whose waiting plans are on a shelf; all else is a ledger's.

    Guarantees: what waits, and what :meth:`whole` returns, are a ledger's own to the byte.
    """

    _shelf: PlanShelf

    def beside(self, shelf: PlanShelf) -> ShelvedLedger:
        """Take the shelf that this ledger, or the one that it goes on from, has its plans on."""
        self._shelf = shelf
        return self

    def wait(self, plan_digest: str, plan: bytes, *, signer: str) -> tuple[str, ...]:
        """Let a plan wait as a ledger does; what stands for it is in the ledger."""
        check_size(plan)
        return super().wait(plan_digest, self._shelf.put(plan), signer=signer)

    def pending(self) -> tuple[WaitingPlan, ...]:
        """Return the plans that wait for a person, oldest first."""
        plans = self._shelf.plans
        return tuple(replace(waits, plan=plans[waits.plan]) for waits in super().pending())

    def whole(self) -> bytes:
        """Put the plans that wait into the ledger, and return its bytes: those of its file."""
        if self.waits():
            plans = self._shelf.plans
            self._batch.write(lambda connection: restore_waiting(connection, plans))
        return self.image()
