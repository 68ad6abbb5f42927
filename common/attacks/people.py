"""Who is attacked: real rows, as many of other people, and what the attacker knows of the world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidTable
from silosynth.common.measurement import Measurement
from silosynth.common.sampler import Sampler, coded_schema
from silosynth.common.schema import Schema
from silosynth.common.scores import Values
from silosynth.common.seeded import SeededWords

MOST_ROWS = 10_000
_FAR = 3.3
_PRIMES = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))

Codes = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What an attacker may hold beside the table.

    ``sampler`` is the one that drew it; ``releases`` are what left the silos, all of them together
    and noised, over the codes of ``schema``: a coordinator sees them.
    """

    schema: Schema
    sampler: Sampler | None = None
    releases: tuple[Measurement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arena:
    """Three groups of people who share nobody, and the table.

    ``members`` are real rows at ``places`` of the real table, ``others`` rows of the control, both
    in an order by lot; ``reference`` is the rest of the control, which the attacker knows. ``raw``
    are the same three as tables.
    """

    members: Values
    others: Values
    reference: Values
    synthetic: Values
    places: np.ndarray
    raw: tuple[pa.Table, pa.Table, pa.Table]

    def equal(self) -> tuple[Values, Values]:
        """Return as many members as others."""
        places = np.arange(min(self.members.rows, self.others.rows))
        return self.members.take(places), self.others.take(places)

    def codes(self, schema: Schema) -> tuple[Codes, Codes, Codes]:
        """Return the fine codes of members, others and reference: a (rows,) column each."""
        codec = Codec(schema=schema)
        members, others, reference = (codec.encode(t, allow_extra=True).codes for t in self.raw)
        return members, others, reference


def make_arena(
    values: Sequence[Values], tables: Sequence[pa.Table], *, seed: int, most: int = MOST_ROWS
) -> Arena:
    """Choose whom to attack: half of the control knows the world, half stands beside the members.

    Args:
        values: real, synthetic and control values.
        tables: the same three as they were given.
    """
    real, synthetic, control = values
    rows = min(most, control.rows // 2)
    order = SeededWords(seed=seed, purpose="attack").permutation(control.rows)
    chosen = SeededWords(seed=seed, purpose="members").permutation(real.rows)[:most]
    others, known = order[:rows], order[rows:]
    raw = ((tables[0], chosen), (tables[2], others), (tables[2], known))
    first, second, third = (table.take(pa.array(places)) for table, places in raw)
    return Arena(
        members=real.take(chosen),
        others=control.take(others),
        reference=control.take(known),
        synthetic=synthetic,
        places=chosen,
        raw=(first, second, third),
    )


def codes_of_sampler(arena: Arena, sampler: Sampler) -> tuple[Codes, Codes, Codes]:
    """Return members, others and reference in the codes that a sampler's conditionals are over."""
    schema = coded_schema(sampler.schema, sampler.spreads)
    lookups = [
        sampler.grouping.lookup(name, size)
        for name, size in zip(schema.domain.attributes, schema.domain.shape, strict=True)
    ]
    members, others, reference = (
        tuple(look[column] for look, column in zip(lookups, columns, strict=True))
        for columns in arena.codes(schema)
    )
    return members, others, reference


def row_digests(values: Values) -> np.ndarray:
    """Return (rows,) uint64: equal rows have equal digests, others nearly surely not."""
    digest = np.zeros(values.rows, dtype=np.uint64)
    for column in values.columns:
        stored = column.codes if column.listed else np.nan_to_num(column.numbers, nan=-1e308) + 0.0
        digest = _mix(digest, np.ascontiguousarray(stored).view(np.uint64))
    return digest


def cell_digests(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return (rows,) uint64 of rows of cells, as :func:`row_digests` does of values."""
    digest = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        digest = _mix(digest, column.astype(np.uint64))
    return digest


def _mix(digest: np.ndarray, word: np.ndarray) -> np.ndarray:
    mixed: np.ndarray = (digest ^ (word * _PRIMES[0])) * _PRIMES[1]
    mixed ^= mixed >> np.uint64(29)
    return mixed


def refuse_shared_rows(real: Values, control: Values) -> None:
    """Raise InvalidTable where control rows are real ones oftener than chance explains.

    People can be alike. Were both tables one, parted by lot, then t equal rows would stand on both
    sides with chance 1 - q^t - (1 - q)^t, where q is the real table's share of all rows; copies do
    always. Refused is what lies 3.3 standard deviations above that, one table in a thousand: of all
    that are equal, or of pairs alone, among which a few copies show where many people are alike.
    """
    digests = [row_digests(side) for side in (real, control)]
    side = np.repeat([0, 1], [real.rows, control.rows])
    _, places = np.unique(np.concatenate(digests), return_inverse=True)
    held = [np.bincount(places[side == s], minlength=places.max() + 1) for s in (0, 1)]
    alike, both = held[0] + held[1], (held[0] > 0) & (held[1] > 0)
    share = real.rows / len(side)
    chance = 1 - share**alike - (1 - share) ** alike
    spread = chance * (1 - chance)
    if any(
        both[some].sum() > chance[some].sum() + _FAR * math.sqrt(spread[some].sum())
        for some in (alike > 1, alike == 2)
    ):
        raise InvalidTable(
            "the control table shares rows with the real table",
            hint="give rows of other people, or leave the control out",
        )
