"""Rows of one table or of several from the schema alone: rules kept, every code as likely.

Where a schema says what share a value has, it has that: such shares are public facts of it. No row
is an orphan. Nothing was read, so it costs no privacy, and it says nothing of anybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa

from silosynth.common.codec import Form, codes_meeting
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.families import Answer, Question, first_of, later_of, view_domains
from silosynth.common.files import make_directory, write_text
from silosynth.common.forest import ForestSampler, draw_forest
from silosynth.common.measurement import Measurement
from silosynth.common.sampler import (
    Sampler,
    build_sampler,
    draw_batches,
    form_of_file,
    write_batches,
)
from silosynth.common.schema import CodedAttribute, Schema
from silosynth.common.tables import Families, TablesSchema, drawable, number_name, table_seed
from silosynth.server.families import fit_families
from silosynth.server.measuring import merged_zeros
from silosynth.server.methods import draw_order
from silosynth.server.model.fit import fit

MADE_FROM = "the schema alone"
_ROWS = 10_000.0
_ROUNDING = 1e-6


def dummy_sampler(schema: Schema) -> Sampler:
    """Return a sampler whose columns are as even, or have the public shares, as the rules allow.

    Raises InvalidSchema for a schema with facts that were read off data: rows drawn from it would
    not be public; and for shares of values that an attribute does not have.
    """
    unreviewed = schema.unreviewed()
    if unreviewed:
        raise InvalidSchema(
            f"schema {schema.name!r} has unreviewed facts, of {unreviewed[0]!r} first",
            hint="rows made of it would tell what only the data could; review it before",
        )
    whole = Grouping(groups={})
    even = [
        Measurement(
            clique=(a.name,),
            values=_ROWS * known_shares(a),
            variance=np.ones(a.size),
        )
        for a in schema.coded
    ]
    model = fit(even, domain=schema.domain, total=_ROWS, zeros=merged_zeros(schema, grouping=whole))
    return build_sampler(
        schema=schema,
        grouping=whole,
        within={},
        nodes=draw_order(model),
        total=0,
        certificate={"made_from": MADE_FROM, "epsilon": 0},
        plan_digest=schema.digest,
    )


def known_shares(attribute: CodedAttribute) -> np.ndarray:
    """Return (codes,) float64 that add up to 1: the public shares, and the rest spread evenly.

    Raises InvalidSchema for a share of what is no value, for two of the same value, and where the
    rest has nothing to go to.
    """
    shares, taken = np.zeros(attribute.size), np.zeros(attribute.size, dtype=bool)
    for value, share in attribute.shares.items():
        try:
            meets = codes_meeting(attribute, value)
        except InvalidArgument as err:
            raise InvalidSchema(
                f"{attribute.name!r} has a share of {value!r}, which it cannot be: {err}",
                hint="write values as 'sample --where' takes them, ranges between edges of bins",
            ) from None
        if (taken & meets).any():
            raise InvalidSchema(f"{attribute.name!r} has two shares of {value!r}", hint="keep one")
        shares[meets] = share / max(meets.sum(), 1)
        taken |= meets
    rest = 1 - shares.sum()
    if taken.all() and rest > _ROUNDING:
        raise InvalidSchema(
            f"the shares of {attribute.name!r} add up to {1 - rest:g} and name all it can be",
            hint="let them add up to 1, or leave one value out",
        )
    if not taken.all():
        shares[~taken] = rest / (~taken).sum()
    whole: np.ndarray = shares / shares.sum()
    return whole


ABOUT = "about.json"


def write_dummy_tables(
    schema: TablesSchema, *, persons: int, seed: int, folder: Path, ending: str, force: bool = False
) -> dict[str, int]:
    """Write a file a table, and ``about.json``, which says what they are; return rows by table.

    Guarantees: as :meth:`Families.finished`; each row keeps its table's rules; numbers of children
    lie within their edges. Memory holds a number a row, and a few batches.

    Raises InvalidSchema for a schema with facts that were read off data.
    """
    unreviewed = schema.unvouched()
    if unreviewed:
        raise InvalidSchema(
            f"schema {schema.name!r} has unreviewed facts, of {unreviewed[0]!r} first",
            hint="rows made of it would tell what only the data could; review it before",
        )
    mark = {"silosynth": f"made from {MADE_FROM}; epsilon 0"}
    if schema.rules or any(t.gaps for t in schema.tables.values()):
        # Row by row, each given those above and before it, which such a schema speaks of.
        forest = _even_forest(schema)
        written = draw_forest(
            forest, persons=persons, seed=seed, folder=folder, ending=ending, force=force, mark=mark
        )
        return _told(schema, written, folder=folder, force=force)
    samplers = {n: dummy_sampler(drawable(c.rows)) for n, c in schema.columns.items()}
    families = _families(schema, samplers, persons=persons, seed=seed)
    make_directory(folder)
    written = {}
    for name in schema.downward:
        path = folder / f"{name}{ending}"
        form = form_of_file(path)
        drawn = _draw(samplers[name], families, name, form=form)
        finished = families.finished(name, drawn, form=form)
        dialect = schema.tables[name].csv
        written[name] = write_batches(finished, path=path, dialect=dialect, force=force, mark=mark)
    return _told(schema, written, folder=folder, force=force)


def _told(
    schema: TablesSchema, written: dict[str, int], *, folder: Path, force: bool
) -> dict[str, int]:
    """Write what the tables are beside them, and return their rows."""
    about = {"made_from": MADE_FROM, "epsilon": 0, "schema": schema.digest, "rows": written}
    write_text(folder / ABOUT, json.dumps(about, indent=2) + "\n", force=force)
    return written


def _even_forest(schema: TablesSchema) -> ForestSampler:
    """Return the sampler of tables in which nothing is known but public shares and rules."""
    answers = []
    for view, domain in view_domains(schema).items():
        name = next(n for n in schema.downward if view in (n, first_of(n), later_of(n)))
        for attribute in schema.columns[name].rows.coded:
            if attribute.name in domain.attributes:
                shares = known_shares(attribute)
                question = Question(view=view, clique=(attribute.name,))
                answers.append(Answer(question=question, values=_ROWS * shares, variance=1.0))
    about = {"made_from": MADE_FROM, "epsilon": 0}
    return fit_families(schema, answers, certificate=about, plan_digest=schema.digest)


def _families(
    schema: TablesSchema, samplers: dict[str, Sampler], *, persons: int, seed: int
) -> Families:
    """Draw how many rows each row has below it, top down."""
    numbers: dict[str, np.ndarray] = {}
    for name in schema.downward:
        total = persons if name == schema.person else int(numbers[name].sum())
        numbers |= _numbers(
            samplers[name], list(schema.below(name)), rows=total, seed=table_seed(seed, name)
        )
    return Families(schema=schema, persons=persons, numbers=numbers, seed=seed)


def _numbers(sampler: Sampler, below: list[str], *, rows: int, seed: int) -> dict[str, np.ndarray]:
    """Return how many rows of each table below the rows of one have."""
    found: dict[str, list[np.ndarray]] = {child: [] for child in below}
    if not below:
        return {}
    with closing(draw_batches(sampler, rows=rows, seed=seed)) as batches:
        for batch in batches:
            for child in below:
                found[child].append(batch[number_name(child)].to_numpy())
    return {child: np.concatenate(parts) for child, parts in found.items()}


def _draw(sampler: Sampler, families: Families, name: str, *, form: Form) -> Iterator[pa.Table]:
    seed, rows = table_seed(families.seed, name), families.rows[name].total
    with closing(draw_batches(sampler, rows=rows, seed=seed, form=form)) as batches:
        yield from batches
