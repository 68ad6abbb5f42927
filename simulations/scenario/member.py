"""One silo of a scenario: what its disk keeps, how its rows are read, and how it lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from silosynth.client.gateway import Gateway
from silosynth.client.ledger import Ledger
from silosynth.client.maps import ABSENT, NO_MAP, SiloMap
from silosynth.client.noise import BitSource
from silosynth.client.source import Source, open_table
from silosynth.client.source.bounding import bounding
from silosynth.common.codec import Codec
from silosynth.common.plan import Plan
from silosynth.common.trust import SigningKey
from silosynth.simulations.one_process import HeldRecords
from silosynth.simulations.world import Lie, can_be_still


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


def _die() -> None:
    raise Killed


@dataclass(slots=True, kw_only=True)
class Member:
    """One silo: what its disk keeps through every crash, and its gateway while that runs.

    ``now`` is its clock; ``dies_at`` the step at which it is about to die, and ``dies`` how.
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
    dies: Callable[[], None] = _die
    opened: tuple[Gateway, Ledger] | None = None
    ledger: bytes = field(default=b"", repr=False)
    records: HeldRecords = field(default_factory=HeldRecords, repr=False)
    kept: bytes | None = field(default=None, repr=False)
    told: list[str] = field(default_factory=list, repr=False)

    def reached(self, step: str) -> None:
        """Die where it was said."""
        if step == self.dies_at:
            self.dies_at = None
            self.dies()

    def keep(self) -> None:
        """Keep the ledger as it is before the first answer, where the silo will come back to it."""
        if self.lie is Lie.STALE_LEDGER and self.kept is None and self.opened is not None:
            self.kept = self.opened[1].image()

    def rest(self) -> None:
        """Let the ledger of a gateway that nobody speaks to take no more memory than it has to."""
        if self.opened is not None:
            self.opened[1].rest()

    def close(self) -> None:
        """End the gateway: what its ledger has committed stays, as on a disk."""
        if self.opened is not None:
            self.ledger = self.opened[1].image()
            self.opened[1].close()
            self.opened = None


def source_of(member: Member, *, rows: RowsOf, codec: Codec) -> Source:
    """Return a silo's rows, brought to the codec's schema by its map."""
    person = rows.person_column
    tell = member.told.append
    return open_table(
        member.table,
        schema=codec.schema,
        person_column=person,
        bounding=None if person is None else bounding(member.secret, tell_operator=tell),
        silo_map=member.silo_map,
        tell_operator=tell,
        codec=codec,
    )


class Still:
    """Bits of which a gateway makes noise that is 0, at every scale."""

    def words(self, count: int) -> np.ndarray:
        """Return (count,) uint64: below one half, above every tail, and with low bits of 0."""
        return np.full(count, 0x7FFF << 48, dtype=np.uint64)


def bits_of(member: Member, plan: Plan) -> BitSource | None:
    """Return what a silo's gateway draws noise from; one that lies of it adds none."""
    return Still() if member.lie is Lie.NO_NOISE and can_be_still(plan) else member.bits


def lied(member: Member, data: bytes) -> bytes:
    """Return what a silo sends in place of its answer; an honest one sends that."""
    match member.lie:
        case Lie.RUBBISH:
            return hashlib.sha256(data).digest() * 8
        case Lie.STALE_LEDGER if member.kept is not None:
            member.close()
            member.ledger = member.kept
    return data
