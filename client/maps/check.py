"""Whether a map fits a schema: held against public facts alone, before any row is read."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from silosynth.client.maps.silo_map import (
    ABSENT,
    ColumnMap,
    SiloMap,
    Target,
    spell_target,
    spelled_by_silo,
    words_of,
)
from silosynth.common.document import describe_validation
from silosynth.common.errors import InvalidMap
from silosynth.common.rules import columns_of
from silosynth.common.rules.spell import spell
from silosynth.common.schema import (
    Attribute,
    Schema,
    as_numeric,
    has_unit,
    has_words,
)


def check_map(silo_map: SiloMap, *, schema: Schema, origin: str = "map") -> None:
    """Raise InvalidMap for a column, word, unit or form that the schema does not have."""
    known = {a.name: a for a in schema.attributes}
    for name, column in silo_map.columns.items():
        if name not in known:
            raise InvalidMap(
                f"{origin}: the schema has no column {name!r}",
                hint="map the schema's columns; the table's own names stand after from:",
            )
        faults = _of_absent(known[name], schema=schema)
        if column != ABSENT:
            faults = _of_column(silo_map.column(name), known[name])
        if (fault := next(faults, None)) is not None:
            raise InvalidMap(f"{origin}: column {name!r} {fault}")
    if schema.coded and not {a.name for a in schema.coded} - silo_map.absent:
        raise InvalidMap(f"{origin}: every column is absent", hint="such a silo has no part")


def check_reviewed(silo_map: SiloMap, *, origin: str = "map") -> None:
    """Raise InvalidMap while a column is as it was drafted, and nobody has vouched for it."""
    if drafted := silo_map.drafted():
        raise InvalidMap(
            f"{origin}: {len(drafted)} columns are unreviewed, {drafted[0]!r} first",
            hint="check what each is read as, then take 'unreviewed: true' away",
        )


def _of_absent(attribute: Attribute, *, schema: Schema) -> Iterator[str]:
    for rule in schema.ruled.rules:
        if attribute.name in columns_of(rule):
            yield f"is absent, and the rule '{spell(rule)}' needs it"


def _of_column(column: ColumnMap, attribute: Attribute) -> Iterator[str]:
    """Yield what a map says of a column that its kind does not have."""
    changed = column.words is not None or column.calculates or column.format is not None
    uncoded = ("text", "generated") if changed else ()
    if attribute.kind in ("ignored", "empty", *uncoded):
        yield f"is {attribute.kind}: there is nothing in it to map"
    elif column.calculates and not has_unit(attribute):
        yield f"is {attribute.kind}, and has no scale or offset"
    if column.format is not None:
        yield from _of_format(column, attribute)
    for word, target in (column.words or {}).items():
        if (fault := _of_target(target, attribute)) is not None:
            yield f"maps {word!r} onto {target!r}, which {fault}"


def _of_format(column: ColumnMap, attribute: Attribute) -> Iterator[str]:
    if as_numeric(attribute) is None:
        yield f"is {attribute.kind}, and has no format; write map:"
        return
    if isinstance(column.format, str) == has_unit(attribute):
        yield "has the format of another kind: numbers have {decimal: ','}, instants '%d.%m.%Y'"
        return
    try:
        spelled_by_silo(attribute, column)
    except ValidationError as err:
        yield f"has a format that cannot be: {describe_validation(err, {})}"


def _of_target(target: Target, attribute: Attribute) -> str | None:
    """Say why a map may not lead to a value; None where it may."""
    coded = attribute if has_words(attribute) else as_numeric(attribute)
    if coded is None:
        return "is a key or a text; leave map out"
    if target is None:
        return None if coded.missing else "is not declared: give the column missing: true"
    if has_words(attribute):
        if spell_target(target) in words_of(attribute):
            return None
        return "the schema does not list"
    if not has_unit(attribute):
        return "is not null: other instants have a format, and no map"
    if isinstance(target, str | bool):
        return "is not a number"
    inside = attribute.minimum <= target <= attribute.maximum
    return None if inside else "lies beyond the bounds"
