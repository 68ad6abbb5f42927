"""How silos' tables differ from one another: rows dealt unevenly, columns spoilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from silosynth.common.errors import InvalidTable
from silosynth.common.plan import Name
from silosynth.common.schema import PlainModel
from silosynth.simulations.world.chance import generator
from silosynth.simulations.world.moved import in_order, shifted


class _Skew(PlainModel):
    """Whose tables are changed; all without names."""

    silos: tuple[Name, ...] = ()


class ByColumn(_Skew):
    """All rows in the order of a column, dealt in equal stretches."""

    kind: Literal["by-column"]
    column: str


class LabelSkew(_Skew):
    """Each value's rows dealt by shares from a symmetric Dirichlet distribution."""

    kind: Literal["dirichlet"]
    column: str
    alpha: float = Field(gt=0, le=1e6, description="the smaller, the more uneven")


class SizeSkew(_Skew):
    """Rows dealt by shares from a symmetric Dirichlet distribution, whatever they hold."""

    kind: Literal["sizes"]
    alpha: float = Field(gt=0, le=1e6)


class Disjoint(_Skew):
    """Every value of a column in one silo alone."""

    kind: Literal["disjoint"]
    column: str


class MissingColumn(_Skew):
    """The silos do not have a column."""

    kind: Literal["missing-column"]
    column: str


class Spelling(_Skew):
    """The silos spell the values of a column otherwise."""

    kind: Literal["spelling"]
    column: str
    style: Literal["upper", "lower", "prefix"] = "upper"


class Shift(_Skew):
    """The silos' numbers of a column lie higher, or lower, dates by so many days; nulls stay."""

    kind: Literal["shift"]
    column: str
    by: float = Field(ge=-1e12, le=1e12)


Skew = Annotated[
    ByColumn | LabelSkew | SizeSkew | Disjoint | MissingColumn | Spelling | Shift,
    Field(discriminator="kind"),
]


def skew_tables(
    tables: Mapping[str, pa.Table], skews: Sequence[Skew], *, seed: int
) -> dict[str, pa.Table]:
    """Return the silos' tables with each skew in turn; the same seed gives the same tables.

    Raises InvalidTable for a column that is not there, or tables that cannot be dealt anew.
    """
    changed = dict(tables)
    for number, skew in enumerate(skews):
        whose = skew.silos or tuple(changed)
        column = getattr(skew, "column", None)
        for silo in whose:
            if column is not None and column not in changed[silo].column_names:
                raise InvalidTable(
                    f"skew {number}: silo {silo} has no column {column!r}",
                    hint="name a column of the schema",
                )
        random = generator(seed, "skew", number)
        try:
            changed |= _skewed({s: changed[s] for s in whose}, skew, number=number, random=random)
        except pa.ArrowException as err:
            raise InvalidTable(
                f"skew {number}: column {column!r} of {skew.kind} is of a type, or holds bytes, "
                "that it cannot read",
                hint="name another column, or leave this skew out",
            ) from err
    return changed


def _skewed(
    tables: Mapping[str, pa.Table], skew: Skew, *, number: int, random: np.random.Generator
) -> dict[str, pa.Table]:
    """Return these tables with one skew."""
    if isinstance(skew, MissingColumn | Spelling | Shift):
        return {s: _spoil(t, skew, number=number) for s, t in tables.items()}
    pooled = _pool(tables, number=number)
    dealt = _deal(pooled, skew, silos=len(tables), random=random)
    return {s: pooled.take(pa.array(np.flatnonzero(dealt == i))) for i, s in enumerate(tables)}


def _pool(tables: Mapping[str, pa.Table], *, number: int) -> pa.Table:
    """Return all rows of tables that have the same columns."""
    first, *others = tables.items()
    for silo, table in others:
        if set(table.column_names) != set(first[1].column_names):
            raise InvalidTable(
                f"skew {number}: silos {first[0]} and {silo} have different columns, so their rows "
                "cannot be dealt anew",
                hint="deal rows before a column goes missing",
            )
    try:
        return pa.concat_tables(tables.values(), promote_options="permissive").combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as err:
        raise InvalidTable(
            f"skew {number}: the silos' columns are of types that do not go together",
            hint="leave this skew out, or bring the tables to one type",
        ) from err


def _deal(
    table: pa.Table,
    skew: ByColumn | LabelSkew | SizeSkew | Disjoint,
    *,
    silos: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Return the number of the silo that gets each row."""
    rows = table.num_rows
    if isinstance(skew, SizeSkew):
        parts = random.dirichlet(np.full(silos, skew.alpha))
        return _whole(random.choice(silos, size=rows, p=parts))
    values, kinds = _ranks(table, skew.column)
    if isinstance(skew, Disjoint):
        return _whole(values % silos)
    if isinstance(skew, ByColumn):
        places = np.empty(rows, np.int64)
        places[np.argsort(values, kind="stable")] = np.arange(rows)
        return _whole(places * silos // max(rows, 1))
    shares = np.cumsum(random.dirichlet(np.full(silos, skew.alpha), size=kinds), axis=1)
    above = (shares[values] < random.random(rows)[:, None]).sum(axis=1)
    return _whole(np.minimum(above, silos - 1))


def _ranks(table: pa.Table, column: str) -> tuple[np.ndarray, int]:
    """Return each row's value as its place among the sorted values, and how many there are."""
    encoded = pc.dictionary_encode(table[column].combine_chunks(), null_encoding="encode")
    order = in_order(encoded.dictionary)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[encoded.indices.to_numpy(zero_copy_only=False)], len(order)


def _whole(numbers: np.ndarray) -> np.ndarray:
    return np.asarray(numbers, dtype=np.int64)


def _spoil(table: pa.Table, skew: MissingColumn | Spelling | Shift, *, number: int) -> pa.Table:
    """Return a table without a column, or with another spelling, or with other numbers."""
    if isinstance(skew, MissingColumn):
        return table.drop_columns([skew.column])
    place, column = table.column_names.index(skew.column), table[skew.column]
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    if isinstance(skew, Spelling):
        text = column.cast(pa.string())
        styles = {"upper": pc.utf8_upper, "lower": pc.utf8_lower}
        spelt = (
            styles[skew.style](text)
            if skew.style in styles
            else pc.binary_join_element_wise(pa.scalar("v"), text, ":")
        )
        return table.set_column(place, skew.column, spelt)
    try:
        return table.set_column(place, skew.column, shifted(column, by=skew.by))
    except ValueError as err:
        if isinstance(err, pa.ArrowException):
            raise
        raise InvalidTable(
            f"skew {number}: column {skew.column!r} {err}", hint="choose another column or 'by'"
        ) from err
