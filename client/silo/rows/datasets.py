"""The data sets of a silo's policy: each with its schema and its rows, none of them read yet."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from silosynth.client.gateway import AnyDataset, Dataset, TablesDataset
from silosynth.client.maps import NO_MAP, SiloMap, check_map, check_reviewed, load_map
from silosynth.client.policy import DatasetSection, PolicyFile
from silosynth.client.source import StreamRows, load_secret, open_source, splitting
from silosynth.client.source.bounding import bounding
from silosynth.common.errors import InvalidPolicy
from silosynth.common.schema import Schema
from silosynth.common.tables import AnySchema, TablesSchema, load_any_schema

if TYPE_CHECKING:
    from silosynth.client.families import FamilyRows

CACHE, SPILL = "cache", "spill"


def open_datasets(
    policy: PolicyFile, *, tell_operator: Callable[[str], None]
) -> dict[str, AnyDataset]:
    """Return the data sets of a policy, none of them read yet."""
    secret = load_secret(Path(policy.silo.persons_secret))
    return {
        section.name: open_dataset(policy, section, secret=secret, tell_operator=tell_operator)
        for section in policy.datasets
    }


def load_any_checked_schema(section: DatasetSection) -> AnySchema:
    """Return a data set's schema; raise InvalidPolicy unless it has the digest of the policy."""
    schema = load_any_schema(Path(section.schema_path))
    if schema.digest != section.schema_digest:
        raise InvalidPolicy(
            f"dataset {section.name!r}: the schema at {section.schema_path} is not the one whose "
            "digest the policy states",
            hint=f"if it was meant to change, write {schema.digest}",
        )
    several = isinstance(schema, TablesSchema)
    unreviewed = schema.unvouched() if isinstance(schema, TablesSchema) else schema.unreviewed()
    if unreviewed:
        raise InvalidPolicy(
            f"dataset {section.name!r}: {len(unreviewed)} attributes of the schema are unreviewed, "
            f"{unreviewed[0]!r} first",
            hint="check each domain, then set its source to 'declared' or 'public'",
        )
    _check_number(section, several=several)
    return schema


def _check_number(section: DatasetSection, *, several: bool) -> None:
    """Raise InvalidPolicy unless policy and schema both have one table, or several."""
    if several != (section.tables is not None):
        raise InvalidPolicy(
            f"dataset {section.name!r}: the schema describes "
            f"{'several tables' if several else 'one table'}, and the policy names "
            f"{'one' if several else 'several'}",
            hint="write a section [datasets.tables.NAME] for each table of the schema, or none",
        )


def load_checked_schema(section: DatasetSection) -> Schema:
    """Return the schema of a data set of one table; raise InvalidPolicy for what it is not."""
    schema = load_any_checked_schema(section)
    if isinstance(schema, TablesSchema):
        raise InvalidPolicy(
            f"dataset {section.name!r} has several tables, which is not taken here yet",
            hint="see docs/how-to/tables.md for what takes them",
        )
    return schema


def load_checked_map(section: DatasetSection, *, schema: Schema) -> SiloMap:
    """Return a data set's map; the empty one where the policy names none.

    Raises InvalidMap for one that does not fit the schema, or that nobody has reviewed.
    """
    if section.map_path is None:
        return NO_MAP
    origin = f"dataset {section.name!r}: {section.map_path}"
    silo_map = load_map(Path(section.map_path))
    check_map(silo_map, schema=schema, origin=origin)
    check_reviewed(silo_map, origin=origin)
    return silo_map


def open_dataset(
    policy: PolicyFile,
    section: DatasetSection,
    *,
    secret: bytes,
    tell_operator: Callable[[str], None],
) -> AnyDataset:
    """Return one data set; its rows are read at the first count."""
    schema = load_any_checked_schema(section)
    if isinstance(schema, TablesSchema):
        families = open_families(
            policy, section, schema, secret=secret, tell_operator=tell_operator
        )
        return TablesDataset(schema=schema, rows=families, policy=policy.limits(section))
    silo_map = load_checked_map(section, schema=schema)
    bounded = section.person_column is not None
    map_digest = None if section.map_path is None else silo_map.digest(secret)
    rows = open_source(
        section.source(),
        schema=schema,
        bounding=bounding(secret, tell_operator=tell_operator) if bounded else None,
        cache=Path(policy.silo.directory) / CACHE / section.name,
        silo_map=silo_map,
        tell_operator=tell_operator,
    )
    return Dataset(
        schema=schema,
        rows=rows,
        policy=policy.limits(section),
        bounded=bounded,
        lacks=silo_map.absent,
        map_digest=map_digest,
        splitting=None
        if section.person_column is None
        else splitting(secret, dataset=section.name, person_column=section.person_column),
    )


def open_families(
    policy: PolicyFile,
    section: DatasetSection,
    schema: TablesSchema,
    *,
    secret: bytes,
    tell_operator: Callable[[str], None],
) -> FamilyRows:
    """Return the rows of several tables, none of them read yet.

    Raises InvalidPolicy unless the policy names the tables of the schema, and no other.
    """
    # They are joined by DuckDB, an extra, which no gateway of one table holds.
    try:
        from silosynth.client.families import FamilyRows
    except ModuleNotFoundError as err:
        raise InvalidPolicy(
            f"dataset {section.name!r}: several tables need {err.name}, which is not installed",
            hint="install silosynth[silo-sql]",
        ) from None
    _check_named(section, schema)
    return FamilyRows(
        schema,
        section.sources(),
        secret=secret,
        spill=spill_folder(policy, section),
        tell_operator=tell_operator,
    )


def _check_named(section: DatasetSection, schema: TablesSchema) -> None:
    """Raise InvalidPolicy unless a policy names the tables of its schema, and no other."""
    named, known = set(section.tables or {}), set(schema.tables)
    if named != known:
        lacking = sorted(known - named)
        what = f"lacks table {lacking[0]!r}" if lacking else f"names {min(named - known)!r}"
        raise InvalidPolicy(
            f"dataset {section.name!r}: the policy {what}, and the schema has "
            f"{', '.join(schema.downward)}",
            hint="write a section [datasets.tables.NAME] for each table of the schema",
        )


def spill_folder(policy: PolicyFile, section: DatasetSection) -> Path:
    """Return where rows of several tables may lie while they are joined, if they do not fit."""
    return Path(policy.silo.directory) / CACHE / section.name / SPILL


def forget_spilled(policy: PolicyFile) -> None:
    """Remove what a gateway that was killed while it joined tables has left on the disk."""
    for folder in (Path(policy.silo.directory) / CACHE).glob(f"*/{SPILL}"):
        shutil.rmtree(folder, ignore_errors=True)


def prepare(datasets: Mapping[str, AnyDataset]) -> None:
    """Make what data sets are counted with, but read none; raise what would stop an answer."""
    for dataset in datasets.values():
        if isinstance(dataset.rows, StreamRows):
            dataset.rows.prepare()
