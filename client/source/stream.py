"""Rows that reach the gateway piece by piece, from files or servers, and are counted as codes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import takewhile
from pathlib import Path

import numpy as np
import pyarrow as pa

from silosynth.client.counting import check_codes, choose_kernel, lay_out
from silosynth.client.maps import lacking
from silosynth.client.source.caches.code_cache import CodeCache, forget_codes
from silosynth.client.source.caches.held import (
    QUERY_SECONDS,
    Held,
    HeldPeople,
    Lifetime,
    Moment,
    Piece,
    choose,
    join_pieces,
)
from silosynth.client.source.people import (
    Part,
    People,
    Points,
    bound_points,
    gather_people,
    plain_persons,
)
from silosynth.client.source.spec import Bounding, CodedTable, Fragment, Reader, ValueQuestion
from silosynth.client.source.survey import Survey, take_survey
from silosynth.client.source.table import Wanted
from silosynth.common.batches import available_threads, map_ahead
from silosynth.common.codec import Codec, Encoded, EncodingNote, add_notes, modelled_texts
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import Schema
from silosynth.common.values import ValueGrid

_KEEP_BYTES = 2 << 30


class StreamRows:
    """Count a table fragment by fragment; keep its codes for later counts where they fit.

    Guarantees: a row that is no longer in its files is not counted, nor learnt from, by any request
    that comes after; see :mod:`silosynth.client.source.caches.held` for servers and queries.

    Codes beyond ``keep_bytes`` lie on disk in the cache, or are made again for each count.
    """

    def __init__(
        self,
        *,
        open_reader: Callable[[], Reader],
        wanted: Wanted,
        lifetime: Lifetime | None = None,
        bounding: Bounding | None = None,
        cache: Path | None = None,
        keep_bytes: int = _KEEP_BYTES,
        threads: int | None = None,
        tell_operator: Callable[[str], None] = lambda _: None,
        codec: Codec | None = None,
    ) -> None:
        """Take what is needed to read; nothing is read yet."""
        self._open_reader = open_reader
        self._wanted = wanted
        self._schema = wanted.schema
        self._given_codec = codec
        self._lifetime = lifetime or Lifetime(seconds=QUERY_SECONDS)
        self._person_column = wanted.person_column
        self._bounding = bounding
        self._cache = cache
        self._keep_bytes = keep_bytes
        self._threads = threads or available_threads()
        self._tell_operator = tell_operator
        self._lock = threading.Lock()
        self._held: Held | None = None
        self._people: HeldPeople | None = None
        self._notes: tuple[EncodingNote, ...] = ()
        self._told: tuple[EncodingNote, ...] = ()
        self._derived: dict[str, tuple[object, StreamRows]] = {}

    @cached_property
    def _codec(self) -> Codec:
        """The schema's codec; a gateway that waits holds none, nor the library that it needs."""
        return self._given_codec or Codec(self._wanted.spelled)

    def prepare(self) -> None:
        """Make what counting needs, but for the rows; raise what would stop it."""
        _ = self._codec

    def count(
        self,
        queries: Sequence[MarginalQuery],
        *,
        levels: Mapping[str, Grouping],
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> list[np.ndarray]:
        """Return the counts of each query."""
        with self._lock:
            held = self._find(plan)
            moment = self._lifetime.begin(plan)
            reader = self._open_reader() if held is None else None
            rows = reader.rows if reader is not None else held.rows if held is not None else 0
            layout = lay_out(queries, domain=self._codec.domain, levels=levels, rows=rows or 1)
            totals = layout.zeros()
            increments = 0 if reader is None else reader.rows * len(layout.tables)
            for columns in self._chosen(held, reader, moment, rows_per_person):
                increments += len(columns[0]) * len(layout.tables)
                kernel = choose_kernel(increments=increments, cache=self._cache)
                kernel.add(columns, layout=layout, totals=totals)
        return layout.answers(totals)

    def count_values(
        self,
        questions: Sequence[ValueQuestion],
        *,
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> list[np.ndarray]:
        """Return the counts of each question. The table is read once more: points are not kept."""
        grids = {q.attribute: q.partition.grid for q in questions}
        totals = [np.zeros(q.partition.cells, dtype=np.int64) for q in questions]
        with self._lock:
            reader = self._open_reader()
            read = partial(self._read_points, grids=grids)
            pieces: Iterable[Points] = map_ahead(read, reader.fragments(), threads=self._threads)
            if self._bounding is not None:
                pieces = [bound_points(list(pieces), self._bounding, rows_per_person)]
            for points, _ in pieces:
                for question, total in zip(questions, totals, strict=True):
                    total += question.count(points[question.attribute])
            reader.check()
        return totals

    def recode(self, schema: Schema) -> StreamRows:
        """Return the same rows, coded by another schema; the last one is kept for what follows."""
        wanted = replace(self._wanted, schema=schema)
        return self._derive("recoded", schema, self._open_reader, wanted, self._cache)

    def part(self, part: Part) -> StreamRows:
        """Return the rows of one part of the persons; kept for what follows, on no disk."""
        read = partial(part.read, self._open_reader)
        return self._derive(f"held out: {part.held_out}", part, read, self._wanted, None)

    def _derive(
        self, kind: str, key: object, read: Callable[[], Reader], wanted: Wanted, cache: Path | None
    ) -> StreamRows:
        """Return other rows of the same table: the last of its kind, where it is of this key."""
        with self._lock:
            if kind not in self._derived or self._derived[kind][0] != key:
                rows = StreamRows(
                    open_reader=read,
                    wanted=wanted,
                    lifetime=self._lifetime,
                    bounding=self._bounding,
                    cache=cache,
                    keep_bytes=self._keep_bytes,
                    threads=self._threads,
                    tell_operator=self._tell_operator,
                )
                self._derived[kind] = key, rows
            return self._derived[kind][1]

    def fold(
        self,
        add: Callable[[Sequence[np.ndarray]], None],
        *,
        rows_per_person: int = 1,
        plan: str | None = None,
    ) -> None:
        """Call ``add`` with the codes of all rows that are counted, piece by piece."""
        with self._lock:
            held = self._find(plan)
            moment = self._lifetime.begin(plan)
            reader = self._open_reader() if held is None else None
            for columns in self._chosen(held, reader, moment, rows_per_person):
                add(columns)

    def tables(self) -> Iterator[pa.Table]:
        """Yield all rows in the schema's names and words, for the operator alone."""
        reader = self._open_reader()
        yield from (self._wanted.mapped(fragment()) for fragment in reader.fragments())
        reader.check()

    def survey(self, *, going: Callable[[], bool] = lambda: True) -> Survey:
        """Read all rows, while ``going``, and say how they fit, for the operator alone."""
        reader = self._open_reader()
        tables = (fragment() for fragment in takewhile(lambda _: going(), reader.fragments()))
        found = take_survey(tables, schema=self._schema, silo_map=self._wanted.silo_map)
        reader.check()
        return found

    def stamps(self) -> tuple[object, ...] | None:
        """Return what tells whether the files were written to; None where nobody can watch."""
        return self._lifetime.stamps()

    def encode(self) -> CodedTable:
        """Return all rows as codes, with texts and the person column beside them."""
        with self._lock:
            return self._encode_all(None)

    def people(self, *, rows_per_person: int, plan: str | None = None) -> People:
        """Return the rows that a generator may learn from; kept for the rounds after this one."""
        with self._lock:
            kept = self._people
            if (
                kept is not None
                and kept.rows_per_person == rows_per_person
                and self._lifetime.holds(kept.moment, plan=plan)
            ):
                return kept.people
            self._people = None
            held = self._find(plan) if not modelled_texts(self._schema) else None
            moment = self._lifetime.begin(plan) if held is None else held.moment
            people = gather_people(
                self._encode_all(plan),
                schema=self._schema,
                bounding=self._bounding,
                rows_per_person=rows_per_person,
            )
            self._people = HeldPeople(moment=moment, rows_per_person=rows_per_person, people=people)
            return people

    def forget_stale(self) -> None:
        """Drop what is held of rows whose table has changed, in memory and on the disk.

        Nothing is dropped while rows are being counted; who counts looks for itself.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            for held in (self._held, self._people):
                if held is None or self._lifetime.holds(held.moment, plan=held.moment.plan):
                    continue
                self._held = None if held is self._held else self._held
                self._people = None if held is self._people else self._people
            for _, derived in self._derived.values():
                derived.forget_stale()
            if self._cache is not None:
                bounded = self._person_column is not None
                forget_codes(self._cache, lifetime=None if bounded else self._lifetime)
        finally:
            self._lock.release()

    def _find(self, plan: str | None) -> Held | None:
        """Return what is held of the table as it is now; with a bounding all of it is read now."""
        held = self._held
        if held is not None and not self._lifetime.holds(held.moment, plan=plan):
            held = self._held = None
        if held is not None or self._bounding is None:
            return held
        moment = self._lifetime.begin(plan)
        coded = self._read_all(moment)
        persons = coded.persons
        ranks = None if persons is None else self._bounding.rank(persons, coded.columns)
        pieces = (Piece(codes=coded.columns, persons=persons),)
        self._held = Held(moment=moment, pieces=pieces, ranks=ranks)
        return self._held

    def _chosen(
        self, held: Held | None, reader: Reader | None, moment: Moment, rows_per_person: int
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the codes of the rows that are counted: those that are held, or read anew."""
        if held is not None:
            yield from held.chosen(rows_per_person)
        elif reader is not None:
            yield from choose(self._stream(reader, moment), None, rows_per_person=rows_per_person)

    def _encode_all(self, plan: str | None) -> CodedTable:
        """Return all rows as codes, texts and all."""
        if modelled_texts(self._schema):
            return self._read_texts_too()
        if (held := self._find(plan)) is not None:
            return self._join_pieces(held.pieces)
        return self._read_all(self._lifetime.begin(plan))

    def _read_all(self, moment: Moment) -> CodedTable:
        """Read the table and return all of its rows."""
        return self._join_pieces(tuple(self._stream(self._open_reader(), moment)))

    def _join_pieces(self, pieces: Sequence[Piece]) -> CodedTable:
        """Return all rows of a reading in one piece."""
        codes, persons = join_pieces(pieces, columns=len(self._codec.domain.shape))
        return CodedTable(columns=codes, persons=persons, notes=self._notes)

    def _read_texts_too(self) -> CodedTable:
        """Read the table once more: texts are not kept, in memory or in the cache."""
        reader = self._open_reader()
        parts = list(map_ahead(self._read_texts, reader.fragments(), threads=self._threads))
        reader.check()
        for encoded, _, _ in parts:
            check_codes(encoded.codes, domain=self._codec.domain)
        pieces = [Piece(codes=encoded.codes, persons=column) for encoded, column, _ in parts]
        codes, persons = join_pieces(pieces, columns=len(self._codec.domain.shape))
        texts = zip(*(found for _, _, found in parts), strict=True)
        notes = add_notes(*(encoded.notes for encoded, _, _ in parts))
        whole = tuple(np.concatenate(text) for text in texts)
        return CodedTable(columns=codes, persons=persons, notes=notes, texts=whole)

    def _stream(self, reader: Reader, moment: Moment) -> Iterator[Piece]:
        """Yield each fragment as codes, and keep them where there is room.

        What is kept counts only after the last fragment, so that a stream that breaks off leaves
        nothing behind, on disk neither.
        """
        cache = self._open_cache(reader, moment)
        if cache is not None and (stored := cache.load()) is not None:
            self._hold((Piece(codes=stored.columns),), replace(moment, read_at=stored.read_at))
            yield Piece(codes=stored.columns)
            return
        try:
            yield from self._stream_anew(reader, cache, moment)
        finally:
            if cache is not None:
                cache.drop()

    def _stream_anew(
        self, reader: Reader, cache: CodeCache | None, moment: Moment
    ) -> Iterator[Piece]:
        """Yield each fragment as codes, and keep all of them at the end."""
        kept: list[Piece] | None = []
        size, notes = 0, tuple[EncodingNote, ...]()
        for encoded, persons in map_ahead(self._read, reader.fragments(), threads=self._threads):
            check_codes(encoded.codes, domain=self._codec.domain)
            piece = Piece(codes=encoded.codes, persons=persons)
            notes = add_notes(notes, encoded.notes)
            size += sum(column.nbytes for column in piece.codes)
            if cache is not None:
                cache.append(piece.codes)
            if kept is not None and size <= self._keep_bytes and self._bounding is None:
                kept.append(piece)
            else:
                kept = None
            yield piece
        reader.check()
        self._tell(notes)
        if cache is not None and (stored := cache.finish()) is not None:
            kept = [Piece(codes=stored.columns)]
        if kept is not None:
            self._hold(tuple(kept), moment)

    def _hold(self, pieces: tuple[Piece, ...], moment: Moment) -> None:
        """Hold rows without ranks; those with ranks are held once they are ranked."""
        if self._bounding is None:
            self._held = Held(moment=moment, pieces=pieces)

    def _tell(self, notes: tuple[EncodingNote, ...]) -> None:
        """Tell the operator what a reading noticed, once for each time that it is new."""
        self._notes = notes
        if notes != self._told:
            self._told = notes
            for note in notes:
                self._tell_operator(str(note))

    def _read(self, fragment: Fragment) -> tuple[Encoded, pa.ChunkedArray | None]:
        """Read and encode one fragment."""
        table = self._wanted.mapped(fragment())
        encoded = self._codec.encode(table, allow_extra=True)
        encoded = replace(encoded, notes=lacking(encoded.notes, silo_map=self._wanted.silo_map))
        name = self._person_column
        return encoded, None if name is None else plain_persons(table[name])

    def _read_points(self, fragment: Fragment, *, grids: Mapping[str, ValueGrid]) -> Points:
        """Read one fragment, and find the points of its numbers."""
        table = self._wanted.mapped(fragment())
        persons = None if self._person_column is None else plain_persons(table[self._person_column])
        return self._codec.find_points(table, grids=grids), persons

    def _read_texts(
        self, fragment: Fragment
    ) -> tuple[Encoded, pa.ChunkedArray | None, tuple[np.ndarray, ...]]:
        """Read and encode one fragment, texts and all."""
        table = fragment()
        encoded, persons = self._read(lambda: table)
        texts, notes = self._codec.encode_texts(self._wanted.mapped(table))
        return replace(encoded, notes=(*encoded.notes, *notes)), persons, texts

    def _open_cache(self, reader: Reader, moment: Moment) -> CodeCache | None:
        """Return the cache for this table, if there is to be one."""
        if self._cache is None or reader.key is None or self._person_column is not None:
            return None
        return CodeCache(
            self._cache,
            key=f"{reader.key()} {self._schema.digest}{self._wanted.map_key}",
            domain=self._codec.domain,
            moment=moment,
            lifetime=self._lifetime,
        )
