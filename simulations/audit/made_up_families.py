"""Made-up families with canaries: persons who are in or out with all rows below them.

Source: ``docs/decisions/147-families-audited.md``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from silosynth.common.plan import TABLES_PHASES, Plan, Views, trust_of
from silosynth.common.tables import TablesSchema, parse_tables
from silosynth.server.planning import new_tables_plan
from silosynth.simulations.audit.made_up import CANARIES, played_silos

PEOPLE, VISITS, DRUGS = "people", "visits", "drugs"
_DAY = "day"
_OWN = {PEOPLE: "kind", VISITS: "ward", DRUGS: "dose"}
"""By table the column that is asked about; each canary has a code of its own in all."""

_CODES = CANARIES + 4
_COMMON = CANARIES
_MOST_VISITS, _MOST_DRUGS = 90, 38
_VISITS = (0, 1, 2, 3, 4, 5, 6, 8, 12, 24, 48, _MOST_VISITS)
_DRUGS = (0, 1, 2, 3, 4, 6, 12, _MOST_DRUGS)
_LARGEST = ((_MOST_VISITS + 1, 0), (3, _MOST_DRUGS + 1), (23, 4))
"""Visits, and drugs of each: one more than there may be of one, of the other, many of both."""

GAPS = (0, 1, 2, 9)
"""Edges of the days between visits, which follow each other day by day."""

_KINDS, _CROWD, _TWINS, _STRAYS = 48, 480, 20, 3
_SEED = 20_261_130


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """A row as the codes of its own columns, and the rows below it, by table and in their order."""

    codes: Mapping[str, int]
    below: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)


Named: TypeAlias = tuple[str, Row]
"""A person, and the name under which rows are its own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Families:
    """Persons with all rows below them; of those who are ``tied`` rows stand on one day."""

    named: tuple[Named, ...]
    tied: tuple[Named, ...] = ()


def made_up_tables(plan: Plan) -> TablesSchema:
    """Return a schema that has all phases of a plan: persons alone, a row each, or three levels."""
    views = {TABLES_PHASES[phase.name].views for phase in plan.phases}
    several = Views.OTHERS in views
    tables: dict[str, Any] = {PEOPLE: {"key": "id", "attributes": [_words(PEOPLE)]}}
    if several or Views.FIRST in views:
        tables[VISITS] = {
            "parent": PEOPLE,
            "by": "id",
            "key": "visit",
            "order": _DAY,
            "gaps": GAPS,
            "children": _VISITS if several else (0, 1),
            "attributes": [_day(), _words(VISITS)],
        }
    if several:
        tables[DRUGS] = {
            "parent": VISITS,
            "by": "visit",
            "order": _DAY,
            "children": _DRUGS,
            "attributes": [_day(), _words(DRUGS)],
        }
    return parse_tables({"person": PEOPLE, "source": "public", "tables": tables})


def _words(table: str) -> dict[str, Any]:
    words = [_word(code) for code in range(_CODES)]
    return {"name": _OWN[table], "kind": "categorical", "categories": words, "other": False}


def _word(code: int) -> str:
    return f"w{code:03}"


def _day() -> dict[str, Any]:
    """Return a column that only orders: nothing is asked of one bin."""
    bins = {"kind": "width", "count": 1}
    return {"name": _DAY, "kind": "integer", "minimum": 0, "maximum": 1023, "bins": bins}


def made_up_tables_plan(plan: Plan, schema: TablesSchema) -> Plan:
    """Return the plan of the same promise, trust and fineness on the made-up tables."""
    silos, colluders = played_silos(plan)
    fineness = {p.fineness for p in plan.phases if p.fineness is not None}
    return new_tables_plan(
        schema,
        epsilon=plan.privacy.epsilon,
        delta=plan.privacy.delta,
        silos=silos,
        trust=trust_of(plan.trust, colluders=colluders),
        plan_id="audit",
        **({"fineness": fineness.pop()} if fineness else {}),
    )


def number_code(edges: tuple[int, ...], number: int) -> int:
    """Return the bin of a number of rows; one beyond the last edge lies there, as one below does.

    >>> [number_code((0, 1, 2, 4, 10), n) for n in (0, 1, 2, 3, 4, 10, 99)]
    [0, 1, 2, 2, 3, 3, 3]
    """
    ends_alone = len(edges) > 1 and edges[-1] - edges[-2] == 1
    inner = edges[1:] if ends_alone else edges[1:-1]
    return bisect_right(inner, min(max(number, edges[0]), edges[-1]))


@dataclass(frozen=True, kw_only=True)
class MadeUpFamilies:
    """The families of a game by their silos; the ``colluders``, the last of those, hold no canary.

    Beside the crowd that the attacker knows there are, for each canary, twins: two rows on one
    day, of which that with the canary's code stands first in the file where the canary is in, and
    last where it is out; and strays: rows like the canary's whose ``by`` names nobody.
    """

    schema: TablesSchema
    silos: tuple[str, ...]
    colluders: int = 0

    def silo(self, canary: int) -> str:
        """Return whose patient, or customer, a canary would be."""
        return self.silos[canary % (len(self.silos) - self.colluders)]

    def counted(self, canary: int) -> Families:
        """Return a canary: all its rows count, and are alike."""
        return self._canaries[canary]

    @cached_property
    def _canaries(self) -> tuple[Families, ...]:
        return tuple(Families(named=((f"person-{i}", self._family(i)),)) for i in range(CANARIES))

    def _family(self, code: int) -> Row:
        """Return the largest family of a code: two visits where one is the most."""
        visits, drugs = _LARGEST[code % len(_LARGEST)]
        return self._alike(code, visits=visits if DRUGS in self.schema.tables else 2, drugs=drugs)

    def _alike(self, code: int, *, visits: int, drugs: int) -> Row:
        """Return a family whose rows all have one code."""
        codes = {table: {_OWN[table]: code} for table in self.schema.tables}
        tables, below = self.schema.tables, dict[str, tuple[Row, ...]]()
        if DRUGS in tables:
            below[DRUGS] = (Row(codes=codes[DRUGS]),) * drugs
        if VISITS not in tables:
            return Row(codes=codes[PEOPLE])
        visit = Row(codes=codes[VISITS], below=below)
        return Row(codes=codes[PEOPLE], below={VISITS: (visit,) * visits})

    def _twin(self, canary: int) -> Row:
        """Return somebody like a canary with two rows of one day, of which one has its code."""
        both = [self._alike(code, visits=1, drugs=0) for code in (canary, _COMMON)]
        visits = tuple(row for person in both for row in person.below.get(VISITS, ()))
        return Row(codes=both[0].codes, below={VISITS: visits} if visits else {})

    @cached_property
    def known(self) -> dict[str, Families]:
        """Return the families of each silo who are no secret."""
        draws = np.random.default_rng(_SEED)
        codes = draws.integers(0, _CODES, size=_KINDS)
        kinds = [self._alike(int(c), visits=4, drugs=3) for c in codes]
        crowd = [kinds[i % _KINDS] for i in range(_CROWD)]
        found = {}
        for place, silo in enumerate(self.silos):
            mine = [i for i in range(CANARIES) if self.silo(i) == silo]
            own = enumerate(crowd[place :: len(self.silos)])
            found[silo] = Families(
                named=tuple((f"crowd-{silo}-{n}", row) for n, row in own),
                tied=tuple((f"twin-{i}-{n}", self._twin(i)) for i in mine for n in range(_TWINS)),
            )
        return found

    def tables(self, inside: np.ndarray) -> dict[str, dict[str, pa.Table]]:
        """Return each silo's tables when the canaries of ``inside`` are in."""
        return {
            silo: {
                name: pa.concat_tables([part[name] for part in self._parts(silo, inside)])
                for name in self.schema.tables
            }
            for silo in self.silos
        }

    def _parts(self, silo: str, inside: np.ndarray) -> Iterator[Mapping[str, pa.Table]]:
        yield self._crowds[silo]
        for i in (i for i in range(CANARIES) if self.silo(i) == silo):
            yield self._twins[i][int(inside[i])]
            if inside[i]:
                yield self._shown[i]

    @cached_property
    def _crowds(self) -> dict[str, dict[str, pa.Table]]:
        """Return by silo the tables of those who are always there, the strays among them."""
        found = {}
        for silo, people in self.known.items():
            mine = [i for i in range(CANARIES) if self.silo(i) == silo]
            stray = [(f"stray-{i}", self._alike(i, visits=_STRAYS, drugs=_STRAYS)) for i in mine]
            strays = {**written(self.schema, stray), PEOPLE: written(self.schema, ())[PEOPLE]}
            crowd = written(self.schema, people.named)
            found[silo] = {n: pa.concat_tables([crowd[n], strays[n]]) for n in crowd}
        return found

    @cached_property
    def _shown(self) -> tuple[dict[str, pa.Table], ...]:
        return tuple(written(self.schema, family.named) for family in self._canaries)

    @cached_property
    def _twins(self) -> tuple[tuple[dict[str, pa.Table], dict[str, pa.Table]], ...]:
        """Return the tables of each canary's twins: as they stand when it is out, and when in."""
        found = []
        for i in range(CANARIES):
            tied = [t for t in self.known[self.silo(i)].tied if t[0].startswith(f"twin-{i}-")]
            first = written(self.schema, tied, tied=True)
            last = {n: t.take(np.arange(len(t))[::-1]) for n, t in first.items()}
            found.append((last, first))
        return tuple(found)


def written(
    schema: TablesSchema, families: Iterable[Named], *, tied: bool = False
) -> dict[str, pa.Table]:
    """Return families as tables: rows follow each other by day, or are ``tied`` on one."""
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in schema.tables}
    for name, family in families:
        _write(schema, schema.person, name, row=family, tied=tied, rows=rows, above={})
    return {name: pa.Table.from_pylist(rows[name], schema=_stored(schema, name)) for name in rows}


def _write(
    schema: TablesSchema,
    table: str,
    key: str,
    *,
    row: Row,
    tied: bool,
    rows: Mapping[str, list[dict[str, object]]],
    above: Mapping[str, object],
) -> None:
    """Add a row, under its key, and all below it."""
    words = {column: _word(code) for column, code in row.codes.items()}
    own = schema.tables[table].key
    rows[table].append({**above, **words, **({own: key} if own is not None else {})})
    for child, below in row.below.items():
        for place, other in enumerate(below):
            beside = {str(schema.tables[child].by): key, _DAY: 0 if tied else place}
            named = f"{key}/{place}"
            _write(schema, child, named, row=other, tied=tied, rows=rows, above=beside)


def _stored(schema: TablesSchema, name: str) -> pa.Schema:
    table = schema.tables[name]
    texts = [c for c in (table.key, table.by, _OWN[name]) if c is not None]
    days = [pa.field(_DAY, pa.int64())] if table.order is not None else []
    return pa.schema([*(pa.field(c, pa.string()) for c in texts), *days])
