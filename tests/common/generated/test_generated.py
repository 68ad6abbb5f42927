"""Made-up columns: their words are the pattern's, each once, and one person stays one person."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.errors import InvalidSampler, InvalidSchema
from silosynth.common.generated import complete, people
from silosynth.common.generated.words import even_words, permuted, row_words, words_by_row
from silosynth.common.rules import PatternFault, parse_pattern, regular, words_of
from silosynth.common.schema import Schema, dump_schema, parse_schema

SEX = {"name": "sex", "kind": "categorical", "categories": ["f", "m", "x"], "other": False}
PATTERNS = ("[A-C]{2}[0-9]", "(F|M)[0-9]{1,2}", "a?b?c", "[0-9]{1,2}[0-9]-(ab|cde)?x", r"\d{2}\.x")


def _schema(*attributes: dict[str, Any], rules: tuple[str, ...] = ()) -> Schema:
    made = [{"kind": "generated", **a} for a in attributes]
    listed = [*made, {**SEX, "source": "public"}]
    return parse_schema({"name": "t", "attributes": listed, "rules": list(rules)})


def _made(schema: Schema, *, rows: int = 60, seed: int = 1, batch: int = 60) -> pa.Table:
    sex = pa.array([("f", "m", "x")[i % 3] for i in range(rows)])

    def batches() -> Generator[pa.Table, None, None]:
        for at in range(0, rows, batch):
            yield pa.table({"sex": sex.slice(at, batch)})

    return pa.concat_tables(complete(batches(), schema=schema, seed=seed))


def _completed(rows: pa.Table, schema: Schema) -> pa.Table:
    return pa.concat_tables(complete((r for r in [rows]), schema=schema, seed=1))


@pytest.mark.parametrize("text", PATTERNS)
def test_a_pattern_writes_each_of_its_words_once(text: str) -> None:
    part = parse_pattern(text)
    found = words_by_row(text, seed=3, column="k", first_row=0, rows=words_of(part)).to_pylist()
    assert len(set(found)) == words_of(part)
    signs = re.sub(r"\\x\{(\w+)\}", lambda m: re.escape(chr(int(m[1], 16))), regular(part))
    plain = re.compile(signs)
    assert all(plain.fullmatch(word) and re.fullmatch(text, word) for word in found)


@pytest.mark.parametrize(
    "text",
    [
        *("a?a?", "(a|ab)(b|)", "(a|b|a)", "x*", "x+", ".", "", "[a-", "(a", "a)", "[^a]"),
        *("a{200}", "(a{1,9}){20}", "(a?){2}", r"\q", "[z-a]", "a{", "a{3,1}"),
        "(" * 30 + "a" + ")" * 30,
    ],
)
def test_a_pattern_that_cannot_be_made_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(PatternFault) as refused:
        parse_pattern(text)
    assert "\n" not in str(refused.value)


@settings(max_examples=40, deadline=None)
@given(space=st.integers(1, 3000), seed=st.integers(0, 2**31))
def test_a_permutation_reaches_every_number_once(space: int, seed: int) -> None:
    found = permuted(np.arange(space, dtype=np.uint64), space=space, seed=seed, purpose="p")
    assert sorted(found.tolist()) == list(range(space))


@settings(max_examples=40, deadline=None)
@given(block=st.integers(0, 2**30), seed=st.integers(0, 2**31))
def test_of_64_rows_each_has_its_word_in_another_64th(block: int, seed: int) -> None:
    rows = np.arange(64 * block, 64 * block + 64, dtype=np.uint64)
    words = even_words(seed=seed, purpose="p", rows=rows)
    assert sorted((words >> np.uint64(58)).tolist()) == list(range(64))
    # By the row's own number: in batches of any size.
    assert (even_words(seed=seed, purpose="p", rows=rows[5:9]) == words[5:9]).all()


def test_even_words_lie_in_no_order_and_those_of_rows_drawn_again_are_their_own() -> None:
    rows = np.arange(64 * 2_000, dtype=np.uint64)
    places = (even_words(seed=1, purpose="p", rows=rows) >> np.uint64(58)).reshape(-1, 64)
    steps = np.diff(places.astype(int), axis=1) % 64
    # Steps of a law that is a permutation are any of 1 to 63 alike, and 64 firsts any of 0 to 63.
    for found, among in ((steps.ravel() - 1, 63), (places[:, 0], 64), (places[:, 40], 64)):
        counts = np.bincount(found.astype(int), minlength=among)
        assert counts.min() > 0.3 * counts.mean()
        assert counts.max() < 2.5 * counts.mean()
    again = rows + (np.uint64(1) << np.uint64(40))
    words = even_words(seed=1, purpose="p", rows=again)
    assert (words == row_words(seed=1, purpose="p", rows=again)).all()


def test_keys_are_out_of_order_and_differ_by_seed() -> None:
    first, second = (
        words_by_row("[0-9]{6}", seed=s, column="k", first_row=0, rows=50).to_pylist()
        for s in (1, 2)
    )
    assert first != sorted(first)
    assert not set(first) & set(second)


def test_more_rows_than_words_are_refused_by_name() -> None:
    with pytest.raises(InvalidSampler, match=r"column 'k': pattern '\[0-9\]' has 10 words"):
        words_by_row("[0-9]", seed=1, column="k", first_row=8, rows=3)


def test_a_large_space_is_made_of_pieces_and_stays_unique() -> None:
    schema = _schema({"name": "id", "provider": "uuid"})
    found = _made(schema, rows=3000, batch=3000)["id"].to_pylist()
    assert len(set(found)) == 3000
    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert all(re.fullmatch(uuid, word) for word in found)
    starts = {word[:8] for word in found}
    assert len(starts) > 2900


def test_columns_of_one_person_agree_and_fit_the_gender() -> None:
    common = {"locale": "de_DE", "gender": "sex"}
    schema = _schema(
        {"name": "name", "provider": "name", **common},
        {"name": "first", "provider": "first_name", **common},
        {"name": "last", "provider": "last_name", **common},
        {"name": "mail", "provider": "email", "unique": True, **common},
        {"name": "doctor", "provider": "name", "person": "doctor"},
    )
    rows = _made(schema, rows=300, batch=300).to_pylist()
    lists = people.people_of("de_DE")
    for row in rows:
        assert row["name"] == f"{row['first']} {row['last']}"
        local, domain = row["mail"].split("@")
        assert domain in people.DOMAINS
        fold = dict(zip(lists.first[0], lists.plain_first[0], strict=True)) | dict(
            zip(lists.first[1], lists.plain_first[1], strict=True)
        )
        assert row["sex"] == "x" or local.startswith(fold[row["first"]] + ".")
        if row["sex"] != "x":
            assert row["first"] in lists.first["fm".index(row["sex"])]
    assert len({r["mail"] for r in rows}) == 300
    assert sum(r["doctor"] == r["name"] for r in rows) < 5


def test_other_words_for_a_gender_are_declared() -> None:
    listed = {"name": "sex", "kind": "categorical", "categories": ["1", "2"], "source": "public"}
    name = {"name": "first", "kind": "generated", "provider": "first_name", "gender": "sex"}
    with pytest.raises(InvalidSchema, match="no value of 'sex' is known to be female or male"):
        parse_schema({"name": "t", "attributes": [name, listed]})
    schema = parse_schema({"name": "t", "attributes": [name | {"female": ["2"]}, listed]})
    rows = pa.table({"sex": ["2"] * 40})
    made = _completed(rows, schema)
    assert set(made["first"].to_pylist()) <= set(people.people_of("en_US").first[0])


def test_neither_batches_nor_the_other_columns_change_what_a_row_gets() -> None:
    attributes = (
        {"name": "id", "provider": "pattern", "like": "[A-Z]{2}[0-9]{4}"},
        {"name": "mail", "provider": "email"},
        {"name": "at", "provider": "entry_date", "minimum": "2020-01-01", "maximum": "2020-12-31"},
        {"name": "n", "provider": "sequence", "start": 7, "step": -2},
    )
    whole = _made(_schema(*attributes))
    assert _made(_schema(*attributes), batch=7).to_pylist() == whole.to_pylist()
    assert _made(_schema(attributes[1]))["mail"].to_pylist() == whole["mail"].to_pylist()
    assert _made(_schema(*attributes), seed=2)["mail"].to_pylist() != whole["mail"].to_pylist()
    assert whole["n"].to_pylist()[:3] == [7, 5, 3]
    assert {d.year for d in whole["at"].to_pylist()} == {2020}
    assert len({d.month for d in whole["at"].to_pylist()}) > 8


@pytest.mark.parametrize(
    ("locale", "shape"),
    [("ja_JP", r"\S+ \S+"), ("zh_CN", r"\S+"), ("hu_HU", r"\S+ \S+"), ("ru_RU", r"\S+ \S+")],
)
def test_a_locale_writes_names_its_own_way(locale: str, shape: str) -> None:
    common = {"locale": locale}
    schema = _schema(
        {"name": "name", "provider": "name", **common},
        {"name": "last", "provider": "last_name", **common},
        {"name": "mail", "provider": "email", **common},
    )
    for row in _made(schema, rows=12, batch=12).to_pylist():
        assert re.fullmatch(shape, row["name"])
        assert row["name"].startswith(row["last"]) == (locale != "ru_RU")
        assert row["mail"].isascii()


def test_places_come_from_the_locale() -> None:
    for provider in ("city", "postcode", "street_address", "job", "company", "phone_number"):
        schema = _schema({"name": "x", "provider": provider, "locale": "de_DE"})
        found = _made(schema, rows=30, batch=30)["x"].to_pylist()
        assert len(set(found)) > 10
        assert all(found)


def test_faker_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    people._pool.cache_clear()
    people.people_of.cache_clear()
    monkeypatch.setitem(sys.modules, "faker", None)
    with pytest.raises(InvalidSampler, match="Faker, which is not installed") as refused:
        _made(_schema({"name": "x", "provider": "name"}))
    assert refused.value.hint == "install silosynth[pii]"
    assert _made(_schema({"name": "x", "provider": "uuid"})).num_rows == 60


def test_an_unknown_locale_is_one_line() -> None:
    with pytest.raises(InvalidSampler, match="no locale 'de_XX'") as refused:
        _made(_schema({"name": "x", "provider": "name", "locale": "de_XX"}))
    assert "de_DE" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"provider": "pattern"}, "needs like"),
        ({"provider": "pattern", "like": "x*"}, "say how often"),
        ({"provider": "uuid", "like": "x"}, "like says nothing of provider uuid"),
        ({"provider": "sequence", "step": 0}, "stands still"),
        ({"provider": "entry_date"}, "needs minimum and maximum"),
        (
            {"provider": "entry_date", "minimum": "2020-01-02", "maximum": "2020-01-01"},
            "minimum must be below maximum",
        ),
        ({"provider": "name", "gender": "age"}, "is no listed column"),
        ({"provider": "name", "female": ["f"]}, "name it by gender"),
        ({"provider": "name", "gender": "sex", "female": ["f"], "male": ["f"]}, "both female and"),
        ({"provider": "binary"}, "provider"),
        ({"provider": "name", "locale": "../x"}, "locale"),
    ],
)
def test_what_says_nothing_is_refused(facts: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSchema, match=says):
        _schema({"name": "x", **facts})


def test_columns_of_one_person_that_differ_are_refused() -> None:
    with pytest.raises(InvalidSchema, match="of one person and differ in locale"):
        _schema(
            {"name": "a", "provider": "name"},
            {"name": "b", "provider": "email", "locale": "de_DE"},
        )


def test_rules_on_keys_hold_in_every_row() -> None:
    document = {
        "name": "t",
        "attributes": [
            {"name": "id", "kind": "identifier", "missing": True},
            {"name": "no", "kind": "generated", "provider": "sequence"},
            {**SEX, "source": "public"},
        ],
        "rules": ['id like "P-[0-9]{4}[A-Z]"', "unique: no"],
    }
    schema = parse_schema(document)
    assert parse_schema(document).digest == schema.digest
    assert parse_schema(yaml_of(schema)).rules == schema.rules
    rows = pa.table({"id": pa.array([1, None, 3]), "sex": ["f", "m", "f"]})
    made = _completed(rows, schema)
    keys = made["id"].to_pylist()
    assert keys[1] is None
    assert all(re.fullmatch("P-[0-9]{4}[A-Z]", k) for k in (keys[0], keys[2]))
    assert made.column_names == ["id", "no", "sex"]


def yaml_of(schema: Schema) -> Any:
    import yaml

    return yaml.safe_load(dump_schema(schema))


def test_a_pattern_of_a_rule_is_for_keys_and_in_quotes() -> None:
    for rule, says in (
        ('sex like "x"', "column 'sex' is no identifier"),
        ("k like x", "in quotes"),
        ('k like "x*"', "say how often"),
    ):
        with pytest.raises(InvalidSchema, match=says):
            _schema({"name": "k", "provider": "uuid"}, rules=(rule,))


@pytest.mark.parametrize(
    ("like", "kind"),
    [("[1-9][0-9]{9}", pa.int64()), ("[1-9][0-9]{5,8}", pa.int64()), ("P[0-9]{9}", pa.string())],
)
def test_keys_are_numbers_where_their_pattern_writes_numbers(like: str, kind: pa.DataType) -> None:
    """A number in the table is one in the rows; a pattern with letters in it writes texts."""
    key = {"name": "key", "kind": "identifier", "like": like, "source": "public"}
    schema = parse_schema({"name": "t", "version": 2, "attributes": [key]})
    running = pa.table({"key": pa.array(range(1, 2_001), pa.int64())})

    def batches() -> Generator[pa.Table, None, None]:
        yield running

    (made,) = complete(batches(), schema=schema, seed=1)
    assert made["key"].type == kind
    texts = made["key"].cast(pa.string()).to_pylist()
    assert all(re.fullmatch(like, text) for text in texts)
    assert len(set(texts)) == len(texts)
