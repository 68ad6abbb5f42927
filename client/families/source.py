"""A silo's tables as the gateway holds them: named once, joined and counted when it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from silosynth.client.families.count import Counted, count_families
from silosynth.client.families.join import join_tables
from silosynth.client.families.rows import Told, code_families
from silosynth.client.families.survey import families_words
from silosynth.client.source import watch_files
from silosynth.common.families import Phase
from silosynth.common.tables import TablesSchema


class FamilyRows:
    """Own where a silo's tables are; nothing is read before they are counted."""

    def __init__(
        self,
        schema: TablesSchema,
        sources: Mapping[str, Path | pa.Table],
        *,
        secret: bytes,
        spill: Path | None = None,
        tell_operator: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take the sources, by table its file or its rows.

        Args:
            secret: orders what nothing else does.
            spill: a folder of the gateway's alone, for sorting what does not fit in memory.
            tell_operator: gets sentences that count private rows, such as those of nobody here.
        """
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
        files = [s for s in self._sources.values() if isinstance(s, Path)]
        unchanged = watch_files(files)
        told = Told()
        with join_tables(self._schema, self._sources, spill=self._spill) as joined:
            views = code_families(
                joined.blocks(), schema=self._schema, secret=self._secret, told=told
            )
            found = count_families(views, schema=self._schema, phase=phase)
            words = families_words(self._schema, told, joined.nobodys())
        unchanged()
        self._tell(words)
        return found

    def _tell(self, words: tuple[str, ...]) -> None:
        """Tell what was not told before: a run asks several times of the same rows."""
        for line in words if words != self._last else ():
            self._tell_operator(line)
        self._last = words
