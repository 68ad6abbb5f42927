"""Code lists from files, such as ICD, ATC or a vocabulary of OMOP: public, and named by a digest.

The codes are read in when a schema is loaded, and travel in it: gateway, coordinator and sampler
then hold the same list, and the schema's digest covers it.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from silosynth.common.errors import InvalidSchema
from silosynth.common.schema.kinds.bins import PlainModel
from silosynth.common.schema.references import read_public

MOST_CODES = 65_536
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
Rows = list[dict[str, str]]


class CodeList(PlainModel):
    """Where an attribute's categories are from: a file with a header, a code a line.

    ``code`` and ``parent`` are the names of its columns. ``under`` takes the codes below these
    alone, themselves included, and ``leaves`` those that nothing is below.
    """

    file: str = Field(min_length=1, max_length=512)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    code: str = "code"
    parent: str | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    under: tuple[str, ...] = Field(default=(), max_length=4096)
    leaves: bool = False


def check_hierarchy(hierarchy: Mapping[str, str]) -> None:
    """Raise ValueError for a code that is above itself."""
    above: dict[str, str | None] = dict(hierarchy)
    for start in hierarchy:
        seen, code = dict.fromkeys([start]), above.get(start)
        while code is not None and code not in seen:
            seen[code] = None
            code = above.get(code)
        if code is not None:
            raise ValueError(f"code {code!r} is above itself; correct its parents")
        # What was walked once ends, and need not be walked again.
        above.update(dict.fromkeys(seen))


def read_code_lists(document: Any, *, folder: Path) -> Any:
    """Return a schema's document with the codes of its attributes' files in it.

    Raises InvalidSchema for a file that is not there, not the one that ``sha256`` says, or that
    lacks what is asked of it.
    """
    attributes = document.get("attributes") if isinstance(document, Mapping) else None
    if not isinstance(attributes, list | tuple):
        return document
    return {**document, "attributes": [_expand(a, folder=folder) for a in attributes]}


def _expand(attribute: Any, *, folder: Path) -> Any:
    """Return an attribute's document with categories, and who is above whom."""
    stated = attribute.get("codes") if isinstance(attribute, Mapping) else None
    if not isinstance(stated, Mapping) or "categories" in attribute:
        return attribute
    path = folder / str(stated.get("file"))
    try:
        codes, above = _chosen(_read(stated, path=path), stated, path=path)
    except (InvalidSchema, ValueError) as err:
        where, hint = f"attribute {attribute.get('name')!r}", getattr(err, "hint", None)
        raise InvalidSchema(f"{where}: {getattr(err, 'message', err)}", hint=hint) from err
    whole = all(map(_WHOLE.fullmatch, codes))
    listed = {"categories": [int(c) for c in codes] if whole else codes}
    kept = _needed(codes, above)
    return {**attribute, **listed, **({"hierarchy": kept} if kept else {})}


def _read(stated: Mapping[str, Any], *, path: Path) -> Rows:
    """Return the rows of a code list's file, each by the header's names."""
    delimiter = str(stated.get("delimiter", ","))[:1] or ","

    def rows_of(text: str) -> Rows:
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))

    rows = read_public(path, sha256=stated.get("sha256"), rows_of=rows_of)
    if not rows or any(None in r or None in r.values() for r in rows):
        hint = "is delimiter: right?"
        raise InvalidSchema(f"{path} is no table with a header and rows", hint=hint)
    return [{n: v.strip() for n, v in r.items()} for r in rows]


def _chosen(
    rows: Rows, stated: Mapping[str, Any], *, path: Path
) -> tuple[list[str], dict[str, str]]:
    """Return the codes that an attribute lists, in the file's order, and who is above whom."""
    code, parent = str(stated.get("code", "code")), stated.get("parent")
    for column in filter(None, (code, parent)):
        if column not in rows[0]:
            raise InvalidSchema(f"{path} has no column {column!r}")
    codes = [r[code] for r in rows if r[code]]
    above = {r[code]: r[parent] for r in rows if parent and r[parent] and r[parent] != r[code]}
    check_hierarchy(above)
    (again, times), *_ = Counter(codes).most_common(1) or [("", 1)]
    if times > 1:
        raise InvalidSchema(f"code {again!r} stands twice in {path}")
    kept = _below(codes, above, under=stated.get("under", ()))
    inner = set(above.values()) if stated.get("leaves") else set()
    kept = [c for c in kept if c not in inner]
    if not 0 < len(kept) <= MOST_CODES:
        hint = "take a part of it: write under: [...] with the codes at its head"
        what = f"{len(kept):,} codes of {path} are left, and 1 to {MOST_CODES:,} can be"
        raise InvalidSchema(what, hint=hint)
    return kept, above


def _below(codes: list[str], above: Mapping[str, str], *, under: object) -> list[str]:
    """Return the codes that are below some, or are these; all of them below none."""
    heads = set(map(str, under)) if isinstance(under, list | tuple) else set()
    if unknown := sorted(heads - {*codes, *above.values()}):
        raise InvalidSchema(f"under names {unknown[0]!r}, which is no code")
    return [c for c in codes if not heads or not heads.isdisjoint(_line(c, above))]


def _line(code: str, above: Mapping[str, str]) -> Iterable[str]:
    """Yield a code and all that are above it."""
    found: str | None = code
    while found is not None:
        yield found
        found = above.get(found)


def _needed(codes: Iterable[str], above: Mapping[str, str]) -> dict[str, str]:
    """Return who is above whom, as far as the codes need it."""
    kept: dict[str, str] = {}
    for code in codes:
        for step in _line(code, above):
            if step in kept or step not in above:
                break
            kept[step] = above[step]
    return kept
