"""A silo's own rows for its operator, who holds a delivered sampler against them.

Nothing of it is sent, charged or kept: what is read here never leaves this machine but in the
report that its operator writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from silosynth.client.maps import SiloMap
from silosynth.client.policy import DatasetSection, PolicyFile
from silosynth.client.silo.rows.datasets import load_checked_map, load_checked_schema
from silosynth.client.source import StreamRows, load_secret, open_source
from silosynth.client.source.bounding import bounding
from silosynth.common.errors import InvalidArgument, InvalidSampler, InvalidTable
from silosynth.common.sampler import load_sampler
from silosynth.common.schema import Schema

RESULTS = "results"
SAMPLER = "result.sampler"
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{6,64})")


def find_result(policy: PolicyFile, result: Path) -> Path:
    """Return the sampler that is meant: a file, a folder that holds one, or a plan's digest.

    Raises InvalidArgument where there is none.
    """
    kept = Path(policy.silo.directory) / RESULTS
    digest = _DIGEST.fullmatch(str(result))
    found = sorted(kept.glob(f"{digest[1]}*/{SAMPLER}")) if digest else []
    places: list[Path] = [result, result / SAMPLER, *(found if len(found) == 1 else ())]
    for place in places:
        if place.is_file():
            return place
    raise InvalidArgument(
        f"{result}: no sampler there, and no result of such a plan in {kept}",
        hint=f"name a {SAMPLER}, its folder, or the digest of its plan",
    )


def own_section(policy: PolicyFile, dataset: str | None) -> DatasetSection:
    """Return the data set that is meant; raise InvalidArgument where that is not plain."""
    names = [s.name for s in policy.datasets]
    if dataset is None and len(names) != 1:
        raise InvalidArgument(
            f"the policy has {len(names)} data sets", hint=f"name one of: {', '.join(names)}"
        )
    for section in policy.datasets:
        if dataset in (None, section.name):
            return section
    raise InvalidArgument(
        f"the policy has no data set {dataset!r}", hint=f"it has: {', '.join(names)}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTable:
    """A data set whose rows its operator looks at: its schema and map, read once."""

    section: DatasetSection
    schema: Schema
    silo_map: SiloMap

    @property
    def lacks(self) -> tuple[str, ...]:
        """Return the schema's columns that the map says are not in it."""
        return tuple(self.silo_map.absent)

    def check_drawn_by(self, sampler: Path) -> None:
        """Raise InvalidSampler unless a sampler draws rows of this schema."""
        if (found := load_sampler(sampler).schema).digest != self.schema.digest:
            raise InvalidSampler(
                f"{sampler}: is of schema {found.name!r} with another digest than that of data "
                f"set {self.section.name!r}",
                hint="name the data set that the plan was for with --dataset",
            )


def own_table(policy: PolicyFile, dataset: str | None) -> OwnTable:
    """Read what a data set of a policy is; raise InvalidArgument where it is not plain which."""
    section = own_section(policy, dataset)
    schema = load_checked_schema(section)
    return OwnTable(
        section=section, schema=schema, silo_map=load_checked_map(section, schema=schema)
    )


def own_rows(policy: PolicyFile, own: OwnTable) -> Iterator[pa.RecordBatch]:
    """Yield all rows of a data set in the schema's names and words, without its person column.

    Raises InvalidTable naming the data set, also where the person column is not there.
    """
    section, person = own.section, own.section.person_column
    declared = {a.name for a in own.schema.attributes}
    try:
        for table in _open_rows(policy, own).tables():
            kept = [n for n in table.column_names if n != person or n in declared]
            yield from table.select(kept).to_batches()
    except InvalidTable as err:
        raise InvalidTable(f"data set {section.name!r}: {err.message}", hint=err.hint) from None


def _open_rows(policy: PolicyFile, own: OwnTable) -> StreamRows:
    """Open a data set that is read here, and not counted where it is."""
    section, person = own.section, own.section.person_column
    secret = load_secret(Path(policy.silo.persons_secret))
    source = open_source(
        section.source(),
        schema=own.schema,
        bounding=None if person is None else bounding(secret, tell_operator=lambda _: None),
        silo_map=own.silo_map,
    )
    if not isinstance(source, StreamRows):
        raise InvalidArgument(
            f"data set {section.name!r} is counted where it is: its rows are not read here",
            hint="export it, and use 'silosynth evaluate SAMPLER --real FILE'",
        )
    return source
