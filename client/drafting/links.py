"""Which columns of files beside one another are keys, and which name rows of another file.

Told by what the values do: a key never repeats, what names rows holds keys alone. Names decide
where values could agree by chance, as small numbers do. All of it is read off private data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec import distinct, flatten, readable, to_texts, trim
from silosynth.common.schema import CsvDialect
from silosynth.common.tables import above

_KEY_KINDS = ("identifier", "integer", "categorical", "ordinal", "text", "generated")
_KEY_WORDS = re.compile(r"(id|key|nr|no|num|number|code|uuid|guid|faa|iata)$")
_WHOLE = re.compile(r"-?\d+")
_MOST_CONTAINED = 0.95
_LEAST_CONTAINED = 0.5
_LEAST_SPREAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A file as it was read: its columns as texts, and the kinds that were drafted. Private.

    ``text`` says of a text file how it is written.
    """

    name: str
    text: CsvDialect | None = None
    table: pa.Table = field(repr=False)
    kinds: Mapping[str, str]

    def texts(self, column: str) -> pa.Array:
        """Return a column's values as texts, null where it holds nothing."""
        values, positions = distinct(readable(flatten(self.table[column])))
        texts = trim(to_texts(values)).take(pa.array(positions))
        return pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLink:
    """``column`` of ``table`` names rows of ``to``; ``share`` of its rows name one. Private."""

    table: str
    column: str
    to: str
    share: float
    missing: bool
    near: int

    @property
    def usual(self) -> bool:
        """Say whether nearly every row names one."""
        return self.share >= _MOST_CONTAINED

    @property
    def why(self) -> str:
        """Say why it was taken for a link, without a number of rows."""
        called = ("", ", and it is called like them", ", and it is called as their key")[self.near]
        return f"what stands in it are keys of {self.to}{called}"


def find_key(found: Found) -> str | None:
    """Return the column whose values differ in every row and that is called like a key."""
    differ = [n for n in found.table.column_names if _differs(found, n)]
    ranked = sorted(differ, key=lambda n: -_key_rank(found, n))
    if not ranked or _key_rank(found, ranked[0]) <= 0:
        return None
    return str(ranked[0])


def _differs(found: Found, column: str) -> bool:
    if found.kinds.get(column) not in _KEY_KINDS:
        return False
    texts = found.texts(column)
    return bool(texts.null_count == 0 and pc.count_distinct(texts).as_py() == len(texts) > 0)


def _key_rank(found: Found, column: str) -> int:
    plain, table = _plain(column), _stem(found.name)
    named = bool(_KEY_WORDS.search(plain))
    own = plain in ("id", "key", f"{table}id", f"{table}key", f"{table}number", table)
    first = found.table.column_names[0] == column
    kind = found.kinds[column] in ("identifier", "generated")
    return 4 * int(own) + 2 * int(named) + int(first) + int(kind)


def find_links(files: Sequence[Found], keys: Mapping[str, str]) -> tuple[FoundLink, ...]:
    """Return the columns that name rows, each with the one table that it fits best."""
    uniques = {n: pc.unique(f.texts(keys[n])) for f in files if (n := f.name) in keys}
    found = []
    for one in files:
        for column in one.table.column_names:
            if column == keys.get(one.name) or one.kinds.get(column) not in _KEY_KINDS:
                continue
            texts = one.texts(column)
            values = pc.drop_null(pc.unique(texts))
            fits = [
                link
                for to, unique in uniques.items()
                if (link := _fit(one, column, texts, values, to=to, key=keys[to], unique=unique))
            ]
            if fits:
                found.append(max(fits, key=lambda f: (f.near, f.share)))
    return tuple(found)


def _fit(
    one: Found,
    column: str,
    texts: pa.Array,
    values: pa.Array,
    *,
    to: str,
    key: str,
    unique: pa.Array,
) -> FoundLink | None:
    """Return a column's link to a table; ``values`` are those that stand in its ``texts``."""
    if len(values) < 2:
        return None
    inside = pc.is_in(values, unique)
    contained = pc.mean(inside.cast(pa.float64())).as_py()
    near = _near(column, key, to)
    if contained < (_MOST_CONTAINED if near < 2 else _LEAST_CONTAINED):
        return None
    whole = all(_WHOLE.fullmatch(v) for v in values.slice(0, 1_000).to_pylist())
    spread = len(values) >= _LEAST_SPREAD * len(unique)
    keyed = bool(_KEY_WORDS.search(_plain(column)))
    if to == one.name and not (contained == 1 and spread and (keyed or not whole)):
        return None
    if to != one.name and whole and not near and not (contained == 1 and spread and keyed):
        return None
    rows = pc.is_in(texts, values.filter(inside))
    share = pc.mean(rows.cast(pa.float64())).as_py()
    return FoundLink(
        table=one.name,
        column=column,
        to=to,
        share=share,
        missing=texts.null_count > 0,
        near=near,
    )


def _near(column: str, key: str, table: str) -> int:
    """Say how much a column is called like a key of a table: 2 as the key itself, 1 like it."""
    plain, stem = _plain(column), _stem(table)
    if plain == _plain(key) and plain not in ("id", "key", "number", "code", "no", "nr"):
        return 2
    return int(len(stem) > 2 and stem in plain)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _stem(table: str) -> str:
    plain = _plain(table)
    return plain[:-1] if plain.endswith("s") and not plain.endswith("ss") else plain


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """Files whose keys and parents were found, from the table of persons down. Private."""

    files: Mapping[str, Found]
    keys: Mapping[str, str]
    parents: Mapping[str, FoundLink]
    person: str

    @property
    def tree(self) -> frozenset[str]:
        """Return the tables that hang together."""
        return frozenset((self.person, *self.parents))

    def may_lack(self, link: FoundLink) -> bool:
        """Say whether a link has to be declared as one that may be missing."""
        higher = above(link.table, self.parents)
        return link.to == link.table or (self.within(link) and link.to not in higher)

    def link(self, link: FoundLink) -> str | dict[str, str]:
        """Return a link as a schema writes it."""
        return {"to": link.to, "within": "person"} if self.within(link) else link.to

    def within(self, link: FoundLink) -> bool:
        """Say whether a link always names a row of the same person."""
        if link.to not in self.tree:
            return False
        rows = pc.index_in(
            self.files[link.table].texts(link.column), self.files[link.to].texts(self.keys[link.to])
        )
        named = self.persons[link.to].take(rows)
        same = pc.equal(named, self.persons[link.table])
        return bool(pc.all(same).as_py()) and not (link.to == link.table == self.person)

    @cached_property
    def persons(self) -> dict[str, pa.Array]:
        """Return the person of each row of each table, null where it has none."""
        found = {self.person: self.files[self.person].texts(self.keys[self.person])}
        while len(found) < len(self.tree):
            for table, link in self.parents.items():
                if table not in found and link.to in found:
                    keys = self.files[link.to].texts(self.keys[link.to])
                    rows = pc.index_in(self.files[table].texts(link.column), keys)
                    found[table] = found[link.to].take(rows)
        return found
