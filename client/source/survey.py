"""How a table's rows fit the schema: for the silo's operator alone, and never for a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from silosynth.client.maps import Effect, SiloMap, lacking, map_table, read_by
from silosynth.common.codec import HARDLY, Codec, EncodingNote, add_notes
from silosynth.common.schema import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one reading of all rows showed. Private: nothing of it may decide what leaves.

    ``mapped`` are lines on what the silo's map does to them.
    """

    rows: int = field(repr=False)
    notes: tuple[EncodingNote, ...] = field(repr=False)
    mapped: tuple[str, ...] = field(default=(), repr=False)

    @property
    def fits(self) -> Mapping[str, float]:
        """Return the share of the rows that fit, of each column of which not all do.

        A rule that rows break is told, and is no column.
        """
        columns = (n for n in self.notes if n.misfits and not n.broken)
        return {n.attribute: n.share_fitting(self.rows) for n in columns}

    @property
    def hardly(self) -> tuple[str, ...]:
        """Return the columns of which hardly anything fits."""
        return tuple(name for name, share in self.fits.items() if share < HARDLY)

    def lines(self) -> tuple[str, ...]:
        """Return what the operator is told."""
        shares = {name: f": {share:.1%} of it fits" for name, share in self.fits.items()}
        bent = (f"{n.of(self.rows)}{shares.get(n.attribute, '')}" for n in self.notes)
        return (*self.mapped, *bent)


def take_survey(tables: Iterable[pa.Table], *, schema: Schema, silo_map: SiloMap) -> Survey:
    """Say how rows fit, as they are stored and by their map; none of them is kept."""
    effect, codec = Effect(schema, silo_map), Codec(read_by(schema, silo_map))
    rows, notes = 0, tuple[EncodingNote, ...]()
    for table in tables:
        effect.add(table)
        mapped = map_table(table, schema=schema, silo_map=silo_map, person=None)
        encoded = codec.encode(mapped, allow_extra=True)
        found = lacking(encoded.notes, silo_map=silo_map)
        rows, notes = rows + encoded.rows, add_notes(notes, found)
    return Survey(rows=rows, notes=notes, mapped=tuple(effect.lines()))
