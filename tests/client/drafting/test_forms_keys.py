"""Keys that are more than a number keep their shape, with gaps or without."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.common.codec import Form
from silosynth.common.errors import InvalidSchema
from silosynth.common.generated import complete
from silosynth.common.schema import Schema, key_form, parse_schema
from tests.client.drafting.test_forms import back, facts
from tests.support.tables.messy_files import source

NUMBERS = source(7).choice(10**5, 300, replace=False)


def made(values: list[Any], form: Form = Form.SPELLED) -> tuple[dict[str, Any], list[Any]]:
    """Draft a column, and write made-up rows of it."""
    table = pa.table({"x": pa.array(values, pa.string())})
    draft = draft_schema(table, name="t")
    rows = complete(
        (r for r in [back(table, draft.schema, form=form)]), schema=draft.schema, seed=1, form=form
    )
    found = {"kind": draft.schema.attributes[0].kind, **facts(draft, "x")}
    return found, next(iter(rows))["x"].to_pylist()


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize(
    ("spell", "like"),
    [
        (lambda n: f"{('GP', 'HOSP')[n % 2]}-{n:05}", "(GP-|HOSP-)[0-9]{5}"),
        (lambda n: f"{('A', 'DE', 'CHE')[n % 3]}{n + 1000}", "(A|CHE|DE)[1-9][0-9]{3,5}"),
        (lambda n: f"{chr(65 + n % 26)}{chr(65 + n // 26 % 26)}.{n:05}", r"[A-Z]{2}\.[0-9]{5}"),
        (lambda n: f"INV/{2010 + n % 10}/{n:05}", "INV/[0-9]{4}/[0-9]{5}"),
        (lambda n: f"{n:05}/{n % 97:02}-{n % 10}", "[0-9]{5}/[0-9]{2}-[0-9]"),
    ],
)
def test_keys_with_gaps_keep_shape_and_gaps(
    spell: Callable[[int], str], like: str, form: Form
) -> None:
    keys = [None if i % 4 == 0 else spell(int(n)) for i, n in enumerate(NUMBERS)]
    found, out = made(keys, form)
    assert found["kind"] == "identifier"
    assert found["like"] == like
    assert [o is None for o in out] == [k is None for k in keys]
    there = [o for o in out if o is not None]
    assert all(re.fullmatch(like, o) for o in there)
    assert len(set(there)) == len(there)


def test_a_word_for_no_key_is_written_back_beside_keys() -> None:
    keys = ["NA" if i % 4 == 0 else f"{'AB'[n % 2]}{n:05}" for i, n in enumerate(NUMBERS)]
    _, out = made(keys)
    assert [o == "NA" for o in out] == [k == "NA" for k in keys]
    assert all(o == "NA" or re.fullmatch(r"[AB]\d{5}", o) for o in out)


def test_a_pattern_has_room_for_more_rows_than_were_seen() -> None:
    wide = [f"{'AB'[n % 2]}-{n:03}" for n in range(1000)]
    found, out = made([None, *wide])
    assert found["like"] == "(A-|B-)[0-9]{3,4}"
    assert len(set(out)) == len(out)


def test_keys_that_have_nothing_in_common_stay_running_numbers() -> None:
    keys = ["".join(source(int(n)).choice(list("abcXYZ019-/"), 9)) for n in NUMBERS]
    found, _ = made([None, *keys])
    assert "like" not in found


def keyed(**facts: Any) -> Schema:
    attributes = [{"name": "x", "kind": "identifier", "source": "public", **facts}]
    attributes += [{"name": "y", "kind": "boolean", "source": "public"}]
    return parse_schema({"name": "t", "attributes": attributes})


def test_a_pattern_is_the_form_by_which_tables_name_rows() -> None:
    schema = keyed(like="[A-Z][0-9]{3}")
    form = key_form(schema.attributes[0], schema.ruled)
    assert form is not None
    assert (form.pattern, form.most) == ("[A-Z][0-9]{3}", 26_000)


@pytest.mark.parametrize(
    ("facts", "said"),
    [({"like": "[A-Z"}, "square brackets"), ({"like": "[A-Z]", "prefix": "P"}, "leave out prefix")],
)
def test_a_pattern_that_cannot_be_is_refused(facts: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSchema, match=said):
        keyed(**facts)


def test_what_is_not_said_leaves_a_digest_as_it_was() -> None:
    before = "57ca28cc49be58c49fc40b9dab4da4cd66a8b31984e66fff4e1bb4c44cf6ffd9"
    assert keyed(prefix="P-").digest == f"sha256:{before}"
    before = "6e89f99b2a7d165ca952936041068ec5296bf0ad93c1d04aa95097a4029c812f"
    document = keyed(prefix="P-").model_dump(mode="json", exclude={"version"})
    written = parse_schema(document | {"csv": {"delimiter": ";"}})
    assert written.digest == f"sha256:{before}"
