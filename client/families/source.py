"""A silo's tables as the gateway holds them: named once, joined and counted when it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from silosynth.client.families.count import Counted, count_families
from silosynth.client.families.join import Joined, join_tables
from silosynth.client.families.opened import (
    TableSource,
    common_types,
    source_files,
    wanted_columns,
)
from silosynth.client.families.rows import Told, code_families
from silosynth.client.families.survey import (
    FamiliesSurvey,
    families_words,
    look_at_families,
)
from silosynth.client.source import SourceSpec, look_at, watch_files
from silosynth.common.errors import InvalidTable
from silosynth.common.families import Phase
from silosynth.common.tables import TablesSchema


class FamilyRows:
    """Own where a silo's tables are; no row is read before they are counted."""

    def __init__(
        self,
        schema: TablesSchema,
        sources: Mapping[str, TableSource],
        *,
        secret: bytes,
        spill: Path | None = None,
        tell_operator: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take the sources, by table its file, its rows or what a policy says of it.

        Args:
            secret: orders what nothing else does.
            spill: a folder of the gateway's alone, for sorting what does not fit in memory.
            tell_operator: gets sentences that count private rows, such as those of nobody here.

        Raises InvalidTable for a folder whose files differ in their types, before anybody asks.
        """
        for name, source in sources.items():
            if isinstance(source, SourceSpec) and name in schema.tables:
                common_types(name, source, wanted=wanted_columns(schema, name))
        self._schema = schema
        self._sources = dict(sources)
        self._secret = secret
        self._spill = spill
        self._tell_operator = tell_operator
        self._last: tuple[str, ...] = ()

    def count(self, phase: Phase) -> Counted:
        """Count a phase over all families, and tell the operator what is counted of the tables.

        Raises InvalidTable for what cannot be read or joined, or changes while it is read.
        """
        unchanged = watch_files(source_files(self._sources.values()))
        told = Told()
        with self._joined() as joined:
            views = code_families(
                joined.blocks(), schema=self._schema, secret=self._secret, told=told
            )
            found = count_families(views, schema=self._schema, phase=phase)
            words = families_words(self._schema, told, joined.nobodys())
        unchanged()
        self._tell(words)
        return found

    def stamps(self) -> tuple[object, ...] | None:
        """Return what tells whether the files were written to; None where nobody can watch."""
        files = source_files(self._sources.values())
        try:
            return look_at(files).stamps if files else None
        except (InvalidTable, OSError):
            return None

    def survey(self, *, going: Callable[[], bool] = lambda: True) -> FamiliesSurvey:
        """Look at all rows, while ``going``, and say how they fit, for the operator alone.

        Nothing is kept, charged or sent.
        """
        with self._joined() as joined:
            return look_at_families(joined, schema=self._schema, going=going)

    def _joined(self) -> AbstractContextManager[Joined]:
        return join_tables(
            self._schema, self._sources, spill=self._spill, tell_operator=self._tell_operator
        )

    def _tell(self, words: tuple[str, ...]) -> None:
        """Tell what was not told before: a run asks several times of the same rows."""
        for line in words if words != self._last else ():
            self._tell_operator(line)
        self._last = words
