"""The artifact that draws synthetic rows: data only, never code."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from silosynth.common.batches import available_threads, map_batches, split_rows
from silosynth.common.codec import Codec, Form, code_dtype, modelled_texts
from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidArgument, InvalidPlan, InvalidSampler
from silosynth.common.generated import complete
from silosynth.common.sampler.alike import Given, as_given
from silosynth.common.sampler.conditional import (
    COMPONENT,
    CliqueMarginal,
    Conditional,
    check_conditionals,
    check_within,
    condition,
    shares_of_groups,
    with_component,
)
from silosynth.common.sampler.draw import BATCH_ROWS, Step, compile_steps, draw_batch
from silosynth.common.sampler.keeping import Kept, draw_kept
from silosynth.common.schema import Schema, Source
from silosynth.common.seeded import SeededWords, check_whole
from silosynth.common.values import Spread, edges_schema, grid_of

if TYPE_CHECKING:
    from silosynth.common.codec import Frame

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LARGEST_BATCH = 2**24


class DrawBatch(Protocol):
    """Draw the fine codes of one batch: a function of seed, batch number and rows."""

    def __call__(self, *, rows: int, seed: int, batch: int) -> tuple[np.ndarray, ...]:
        """Return one (rows,) unsigned column per coded attribute, in the schema's order.

        A sampler of texts adds (rows, max_bytes) uint16 for each text that it learnt.
        """


class DrawsRows(Protocol):
    """What every kind of sampler has."""

    @property
    def schema(self) -> Schema:
        """Return the schema of the rows."""

    @property
    def domain(self) -> Domain:
        """Return the domain of the fine codes."""

    @property
    def grouping(self) -> Grouping:
        """Return the merge of fine codes into working codes."""

    @property
    def total(self) -> int:
        """Return the noised number of rows."""

    @property
    def certificate(self) -> Mapping[str, Any]:
        """Return what was spent, as plain JSON data."""

    @property
    def plan_digest(self) -> str:
        """Return the digest of the plan."""

    @property
    def spreads(self) -> Mapping[str, Spread]:
        """Return how values lie inside the codes of numbers."""

    @property
    def batch_rows(self) -> int:
        """Return how many rows are drawn at once, by the sampler alone."""

    def drawer(self) -> DrawBatch:
        """Return the function that draws the codes of a batch."""

    def describe(self) -> dict[str, Any]:
        """Return what is known of this kind of sampler alone, as plain JSON data."""


class DrawnAlike:
    """What all kinds of sampler do in the same way, as a base of theirs."""

    __slots__ = ()

    @property
    def batch_rows(self) -> int:
        """Return how many rows are drawn at once."""
        return BATCH_ROWS

    def draw(self: DrawsRows, rows: int, *, seed: int) -> Frame:
        """Draw rows as a pandas frame."""
        from silosynth.common.codec import to_pandas  # see there why not above

        never_null = {a.name for a in self.schema.coded if a.stored and not a.missing}
        return to_pandas(draw(self, rows=rows, seed=seed), plain=never_null)

    def draw_like(self: DrawsRows, table: Given, rows: int, *, seed: int) -> Given:
        """Draw rows as a frame or table of the types of ``table``; see :func:`as_given`."""
        return as_given(draw(self, rows=rows, seed=seed), table)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampler(DrawnAlike):
    """Conditional distributions of every coded attribute of a schema, in draw order.

    The conditionals are over working codes: ``grouping`` merges the schema's fine codes into them,
    and ``within[a]`` is (fine codes,) uint32, the cumulative shares of 2^31 inside each group of
    ``a``, for the codes sorted by group. ``total`` is the noised number of rows, ``certificate``
    the run's statement of what was spent, as plain JSON data. ``spreads`` says how values lie
    inside the codes of numbers: evenly in the schema's bins where there is none. Of a mixture,
    conditionals are over its component too, one of ``components``, which no row shows.

    Guarantees: what can be built can be drawn from and written to a file. The same seed gives the
    same rows everywhere.
    """

    schema: Schema
    grouping: Grouping
    within: Mapping[str, np.ndarray]
    conditionals: tuple[Conditional, ...]
    total: int
    certificate: Mapping[str, Any]
    plan_digest: str
    spreads: Mapping[str, Spread] = field(default_factory=dict, repr=False)
    components: int = 0
    domain: Domain = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_facts(self)
        object.__setattr__(self, "domain", self.schema.domain)
        check_conditionals(self.conditionals, working=self.working)
        if self.components and self.conditionals[0].attribute != COMPONENT:
            raise InvalidSampler("a mixture does not draw its component first")
        check_within(self.within, grouping=self.grouping)

    @property
    def working(self) -> Domain:
        """Return the domain of the conditionals: working codes, and a mixture's component."""
        try:
            working = self.grouping.domain(self.domain)
        except InvalidPlan as err:
            raise InvalidSampler(f"the grouping does not fit the schema: {err}") from err
        return with_component(working, components=self.components)

    def drawer(self) -> DrawBatch:
        """Return the function that draws the codes of a batch."""
        return partial(_draw_shown, self.steps(), columns=len(self.domain.shape))

    def describe(self) -> dict[str, Any]:
        """Return what is known of this kind of sampler alone, as plain JSON data."""
        mixture = {"mixture": {"components": self.components}} if self.components else {}
        return {
            "conditionals": [
                {"attribute": c.attribute, "given": list(c.given), "cells": int(c.ends.size)}
                for c in self.conditionals
            ],
            "cells": sum(int(c.ends.size) for c in self.conditionals),
            **mixture,
        }

    def steps(self) -> tuple[Step, ...]:
        """Return what is done, column by column, to draw a batch of rows."""
        return compile_steps(
            self.conditionals,
            domain=with_component(self.domain, components=self.components),
            grouping=self.grouping,
            within=self.within,
        )


def build_sampler(
    *,
    schema: Schema,
    grouping: Grouping,
    within: Mapping[str, np.ndarray],
    nodes: Sequence[CliqueMarginal],
    total: float,
    certificate: Mapping[str, Any],
    plan_digest: str,
    spreads: Mapping[str, Spread] | None = None,
) -> Sampler:
    """Turn a fitted model into a sampler; floats become integers here, once.

    Args:
        grouping: the merge of fine codes into the codes that the marginals are over.
        within: per merged attribute, (fine codes,) float64, the probability of a code given its
            group; any scale per group.
        nodes: the clique marginals of a junction tree in draw order, roots first.
        total: noised number of rows; rounded, and taken as 0 when below.
    """
    working = grouping.domain(schema.domain)
    return Sampler(
        schema=schema,
        grouping=grouping,
        within=shares_of_groups(within, grouping=grouping),
        conditionals=condition(nodes, domain=working),
        total=max(round(total), 0),
        certificate=dict(certificate),
        plan_digest=plan_digest,
        spreads=dict(spreads or {}),
    )


def draw_codes(
    sampler: DrawsRows, *, rows: int, seed: int, threads: int | None = None
) -> tuple[np.ndarray, ...]:
    """Draw fine codes: one (rows,) unsigned column per coded attribute, in the schema's order."""
    check_whole(rows, name="rows")
    check_whole(seed, name="the seed")
    draw_part, most = sampler.drawer(), sampler.batch_rows
    columns = tuple(np.empty(rows, dtype=code_dtype(size)) for size in sampler.domain.shape)

    def work(index: int, size: int) -> None:
        start = index * most
        drawn = draw_part(rows=size, seed=seed, batch=index)
        for column, part in zip(columns, drawn[: len(columns)], strict=True):
            column[start : start + size] = part

    sizes = split_rows(rows, batch_rows=most)
    for _ in map_batches(work, sizes, threads=_threads(threads)):
        pass
    return columns


def draw(sampler: DrawsRows, *, rows: int, seed: int, threads: int | None = None) -> pa.Table:
    """Draw a table of ``rows`` rows; the same seed gives the same rows everywhere."""
    return pa.concat_tables(draw_batches(sampler, rows=rows, seed=seed, threads=threads))


def draw_batches(
    sampler: DrawsRows,
    *,
    rows: int,
    seed: int,
    batch_rows: int | None = None,
    threads: int | None = None,
    told: Kept | None = None,
    form: Form = Form.TYPED,
) -> Generator[pa.Table, None, None]:
    """Yield the table in batches, holding a few of them at a time.

    Each batch is a function of sampler, seed, its index and its size, so ``batch_rows`` is part of
    what makes a draw repeatable; the other functions leave it at the sampler's own, 1,000,000 for
    most. For no rows there is one empty batch. Every row keeps the schema's rules; ``told`` counts
    how many were drawn for that. Batches with made-up columns are yielded in smaller pieces.
    """
    check_whole(rows, name="rows")
    check_whole(seed, name="the seed")
    most = sampler.batch_rows if batch_rows is None else batch_rows
    if not 0 < most <= _LARGEST_BATCH:
        raise InvalidArgument(f"a batch of {most} rows is not between 1 and {_LARGEST_BATCH}")
    draw_part, codec = sampler.drawer(), Codec(sampler.schema)
    coded = len(sampler.domain.shape)

    count = told or Kept()

    def attempt(rows: int, batch: int, first_row: int) -> pa.Table:
        drawn = draw_part(rows=rows, seed=seed, batch=batch)
        values = SeededWords(seed=seed, purpose="values", index=batch)
        return codec.decode(
            drawn[:coded],
            drawn[coded:],
            uniform=values.uniform,
            first_row=first_row,
            form=form,
            spreads=sampler.spreads,
        )

    def work(index: int, size: int) -> pa.Table:
        first_row = index * most
        if not sampler.schema.rules:
            return attempt(size, index, first_row)
        return draw_kept(
            lambda rows, batch: attempt(rows, batch, first_row),
            rows=size,
            index=index,
            schema=sampler.schema,
            told=count,
            form=form,
            first_row=first_row,
        )

    sizes = split_rows(rows, batch_rows=most)
    drawn = map_batches(work, sizes, threads=_threads(threads))
    return complete(drawn, schema=sampler.schema, seed=seed, form=form)


def describe_sampler(sampler: DrawsRows) -> dict[str, Any]:
    """Return the facts of a sampler as plain JSON data."""
    working = sampler.grouping.domain(sampler.domain)
    return {
        "schema": {"name": sampler.schema.name, "digest": sampler.schema.digest},
        "plan_digest": sampler.plan_digest,
        "total": sampler.total,
        "attributes": [
            {
                "name": attribute.name,
                "codes": attribute.size,
                "source": attribute.source.value,
                "working_codes": merged,
                "working_source": (
                    Source.BOUGHT
                    if attribute.name in {*sampler.grouping.groups, *sampler.spreads}
                    else attribute.source
                ).value,
            }
            for attribute, merged in zip(sampler.schema.coded, working.shape, strict=True)
        ],
        **sampler.describe(),
        "certificate": dict(sampler.certificate),
    }


def coded_schema(schema: Schema, spreads: Mapping[str, Spread]) -> Schema:
    """Return the schema with the bins that a sampler's codes stand for."""
    return edges_schema(schema, {name: spread.edges for name, spread in spreads.items()})


def check_spreads(spreads: Mapping[str, Spread], *, schema: Schema) -> None:
    """Raise InvalidSampler unless every spread has the codes of a number of the schema."""
    numbers = {a.name: a for a in schema.numbers}
    for name, spread in spreads.items():
        if name not in numbers or len(spread.edges) + 1 != numbers[name].values:
            raise InvalidSampler(f"the values of {name!r} do not fit the schema")
        if grid_of(numbers[name]) != spread.grid:
            raise InvalidSampler(f"the values of {name!r} are not the points of its schema")


class Stated(Protocol):
    """What every kind of sampler of one table states."""

    @property
    def schema(self) -> Schema: ...
    @property
    def total(self) -> int: ...
    @property
    def certificate(self) -> Mapping[str, Any]: ...
    @property
    def plan_digest(self) -> str: ...
    @property
    def spreads(self) -> Mapping[str, Spread]: ...


def check_facts(sampler: Stated) -> None:
    """Raise InvalidSampler unless what every kind of sampler states can be true."""
    if not (sampler.schema.coded or modelled_texts(sampler.schema)):
        raise InvalidSampler("the schema has no attribute with codes")
    check_statements(
        total=sampler.total, certificate=sampler.certificate, plan_digest=sampler.plan_digest
    )
    check_spreads(sampler.spreads, schema=sampler.schema)


def check_statements(*, total: int, certificate: Mapping[str, Any], plan_digest: str) -> None:
    """Raise InvalidSampler unless what a sampler of one table or several states can be true."""
    if isinstance(total, bool) or not isinstance(total, int) or total < 0:
        raise InvalidSampler("the total is not a whole number of rows")
    if not _DIGEST.fullmatch(plan_digest):
        raise InvalidSampler("the plan digest is not sha256: and 64 hexadecimal digits")
    _check_json(certificate)


def _threads(threads: int | None) -> int:
    return available_threads() if threads is None else threads


def _draw_shown(
    steps: Sequence[Step], *, columns: int, rows: int, seed: int, batch: int
) -> tuple[np.ndarray, ...]:
    """Draw the codes of a batch, without the component."""
    return draw_batch(steps, rows=rows, seed=seed, batch=batch)[:columns]


def _check_json(certificate: Mapping[str, Any]) -> None:
    """Raise InvalidSampler unless the certificate is plain JSON data."""
    try:
        same = json.loads(json.dumps(dict(certificate), allow_nan=False)) == dict(certificate)
    except (TypeError, ValueError, RecursionError) as err:
        raise InvalidSampler("the certificate is not plain JSON data") from err
    if not same:
        raise InvalidSampler("the certificate is not plain JSON data")
