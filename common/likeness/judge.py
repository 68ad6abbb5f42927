"""Hold drawn families against real ones: each score beside a ceiling and its floor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from silosynth.common.errors import InvalidTable
from silosynth.common.likeness.across import broken_across
from silosynth.common.likeness.facts import (
    FamiliesFacts,
    IntegrityFacts,
    NumbersFacts,
    RuleFacts,
    TableFacts,
)
from silosynth.common.likeness.read import find_files, read_batches, read_families
from silosynth.common.likeness.rows import Families, Held, Level, pool
from silosynth.common.likeness.scores import LINKED, NUMBERS, TWO, score_persons, score_table
from silosynth.common.report import Axis, Better, Measure, Mode, Provenance
from silosynth.common.seeded import SeededWords
from silosynth.common.tables import TablesSchema, number_attribute, parse_across

FEWEST_PERSONS = 20
EXAMPLES = 10
FLOORS = {
    **dict.fromkeys(LINKED, "keys shuffled"),
    NUMBERS: "keys given to anybody",
    TWO: "independent columns",
}
BROKEN = ("orphans", "keys that stand twice", "rows out of order", "rows that break a rule")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Families, and where their files lie, of which a few rows are shown."""

    families: Families
    files: Mapping[str, Path] = field(default_factory=dict)


def judge_folder(
    schema: TablesSchema,
    folders: Sequence[Path],
    *,
    seed: int,
    most: int | None = None,
    across: Sequence[str] = (),
) -> Side:
    """Read the folders of all silos, or one.

    Args: across: rules of a row and of those above it, with columns written ``table.column``,
        beside those of the schema.

    Raises InvalidTable for too few persons to compare, InvalidArgument for what is no such rule.
    """
    told = dict.fromkeys((*schema.rules, *across))
    rules = [parse_across(text, schema=schema) for text in told]
    found = [find_files(folder, schema=schema) for folder in folders]
    limit = {} if most is None else {"most": most // len(found)}
    families = pool(
        [
            read_families(schema, f, seed=seed, **limit).with_broken(
                broken_across(rules, f, schema=schema)
            )
            for f in found
        ]
    )
    if families.persons < FEWEST_PERSONS:
        raise InvalidTable(
            f"{folders[0]}: has fewer than {FEWEST_PERSONS} persons",
            hint="scores of so few are chance",
        )
    return Side(families=families, files=found[0])


def judge_families(
    schema: TablesSchema,
    real: Side,
    drawn: Side,
    *,
    control: Side | None = None,
    mode: Mode = Mode.SIMULATION,
    seed: int,
    left_out: Sequence[str] = (),
) -> FamiliesFacts:
    """Return what a comparison finds; the same arguments give the same facts.

    Args: control: families of other people; without them the ceiling is the real persons drawn
        with replacement.
    """
    one, other = real.families, drawn.families
    words = SeededWords(seed=seed, purpose="again")
    again = one.taken(words.below(one.persons, one.persons)) if control is None else None
    ceiling = again or (control.families if control else one)
    measures = [
        *_measures(schema, one, other, ceiling, seed=seed),
        *_broken(other),
    ]
    return FamiliesFacts(
        mode=mode,
        schema_name=schema.name,
        person=schema.person,
        persons_real=one.held[schema.person].rows,
        persons_synthetic=other.held[schema.person].rows,
        persons_compared=one.persons,
        ceiling_is="persons drawn again" if control is None else "the control",
        tables=tuple(_table(schema, name, one, drawn) for name in schema.downward),
        measures=tuple(measures),
        floors=FLOORS,
        left_out=tuple(left_out),
        provenance=Provenance(
            digests={"schema": schema.digest},
            seeds={"rows": seed},
            versions={"silosynth": version("silosynth")},
        ),
    )


def _measures(
    schema: TablesSchema, real: Families, drawn: Families, ceiling: Families, *, seed: int
) -> Iterator[Measure]:
    """Yield all distances, table by table."""
    for name in schema.downward:
        floors = {}
        for what in (TWO, LINKED[0], NUMBERS):
            poor = _poor(real, name, FLOORS[what], seed=seed)
            floors[FLOORS[what]] = _scores(schema, real, poor, name)
        own = _scores(schema, real, drawn, name)
        best = _scores(schema, real, ceiling, name)
        for what, value in own.items():
            yield Measure(
                axis=Axis.FIDELITY,
                name=what,
                target=name,
                value=value,
                ceiling=best.get(what),
                floor=floors[FLOORS[what]].get(what) if what in FLOORS else None,
                better=Better.LOW,
            )


def _scores(schema: TablesSchema, real: Families, other: Families, name: str) -> dict[str, float]:
    if name == schema.person:
        return score_persons(real, other)
    return score_table(real, other, name, order=schema.tables[name].order)


def _poor(real: Families, name: str, how: str, *, seed: int) -> Families:
    """Return right families in which one table's rows or columns lie anywhere."""
    level = real.levels[name]
    words = SeededWords(seed=seed, purpose=f"{how}/{name}")
    if how == "independent columns":
        codes = tuple(c[words.permutation(len(c))] for c in level.codes)
        poor = Level(domain=level.domain, codes=codes, above=level.above, numbers=level.numbers)
        return real.with_level(name, poor)
    if name == real.person:
        return real
    order, above = words.permutation(level.rows), level.above
    if how == "keys given to anybody":
        parents = real.levels[real.parents[name]].rows
        above = np.sort(words.below(parents, level.rows))
    found = real.with_level(name, level.taken(order, above))
    parent = real.parents[name]
    upper = found.levels[parent]
    numbers = {**upper.numbers, name: np.bincount(above, minlength=upper.rows)}
    return found.with_level(
        parent, Level(domain=upper.domain, codes=upper.codes, above=upper.above, numbers=numbers)
    )


def _broken(drawn: Families) -> Iterator[Measure]:
    """Yield how many drawn rows do not hang together, in all tables."""
    held = list(drawn.held.values())
    values = (
        sum(h.orphans for h in held),
        sum(h.double_keys for h in held),
        sum(h.falls for h in held),
        sum(sum(h.broken.values()) for h in held),
    )
    for name, value in zip(BROKEN, values, strict=True):
        yield Measure(axis=Axis.FIDELITY, name=name, value=value, better=Better.LOW)


def _table(schema: TablesSchema, name: str, real: Families, drawn: Side) -> TableFacts:
    table = schema.tables[name]
    one, other = real.held[name], drawn.families.held[name]
    columns, rows = _example(schema, name, drawn)
    return TableFacts(
        name=name,
        parent=table.parent,
        by=table.by,
        order=table.order,
        real=_integrity(one),
        synthetic=_integrity(other),
        rules=tuple(
            RuleFacts(rule=rule, real=broken, synthetic=other.broken.get(rule, 0))
            for rule, broken in one.broken.items()
        ),
        numbers=None if table.parent is None else _numbers(name, real, drawn.families),
        columns=columns,
        example=rows,
    )


def _integrity(held: Held) -> IntegrityFacts:
    return IntegrityFacts(
        rows=held.rows,
        orphans=held.orphans,
        double_keys=held.double_keys,
        falls=held.falls,
    )


def _numbers(name: str, real: Families, drawn: Families) -> NumbersFacts:
    """Return the shares of parents by the public classes of how many rows they have."""
    parent, edges = real.parents[name], real.edges[name]
    ends = [int(e) for e in number_attribute(name, edges).edges()]
    labels = [str(a) if b - a == 1 else f"{a} to {b - 1}" for a, b in pairwise(ends)]
    shares = []
    for families in (real, drawn):
        numbers = np.clip(families.levels[parent].numbers[name], ends[0], ends[-1] - 1)
        counts, _ = np.histogram(numbers, bins=ends)
        shares.append(tuple((counts / max(len(numbers), 1)).tolist()))
    return NumbersFacts(labels=tuple(labels), real=shares[0], synthetic=shares[1])


def _example(
    schema: TablesSchema, name: str, drawn: Side
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the columns and the first rows of a drawn table, as they are spelled."""
    if name not in drawn.files:
        return (), ()
    whole = schema.columns[name].whole
    names = tuple(a.name for a in whole.attributes)
    found: list[pa.Table] = []
    for batch in read_batches(drawn.files[name], dialect=schema.tables[name].csv, names=names):
        found.append(batch.slice(0, EXAMPLES))
        if sum(b.num_rows for b in found) >= EXAMPLES:
            break
    rows = pa.concat_tables(found).slice(0, EXAMPLES)
    texts = [["" if v is None else str(v) for v in c.to_pylist()] for c in rows.columns]
    return tuple(rows.column_names), tuple(zip(*texts, strict=True))
