"""Rules are read from text and printed as text; what cannot be read is pointed at."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.rules import (
    UNITS,
    Among,
    Arithmetic,
    Both,
    Column,
    Compare,
    Derived,
    Difference,
    Either,
    Fact,
    IsNull,
    Keep,
    Kind,
    Never,
    Not,
    NullTogether,
    NullWhen,
    Number,
    OneOf,
    Order,
    Rule,
    RuleFault,
    Span,
    Step,
    Unique,
    check_rule,
    parse_rule,
)
from silosynth.common.rules.spell import spell

COLUMNS = ("a", "b", "end", "null", "one", "days", "two words", "é", "x-y", "_", "if'")

names = st.sampled_from(COLUMNS)
numbers = st.one_of(st.integers(0, 10**6).map(float), st.floats(0, 1e18, allow_nan=False))
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
leaves = st.one_of(
    names.map(Column), numbers.map(Number), st.builds(Span, numbers, st.sampled_from(sorted(UNITS)))
)
expressions = st.recursive(
    leaves,
    lambda inner: st.builds(
        Arithmetic, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner, inner
    ),
    max_leaves=6,
)
scalars = st.one_of(st.booleans(), numbers, texts)
signs = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
atoms = st.one_of(
    st.builds(Compare, expressions, signs, st.one_of(expressions, st.booleans(), texts)),
    st.builds(Among, names, st.lists(scalars, min_size=1, max_size=3).map(tuple)),
    st.builds(IsNull, names, st.booleans()),
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(Both, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Either, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
several = st.lists(names, min_size=2, max_size=4, unique=True).map(tuple)
orders = st.lists(
    st.tuples(st.sampled_from(["<", "<="]), expressions), min_size=1, max_size=3
).flatmap(
    lambda rest: expressions.map(
        lambda first: Order((first, *(e for _, e in rest)), tuple(s for s, _ in rest))
    )
)
rules = st.one_of(
    orders,
    st.builds(Derived, names, expressions),
    st.builds(Difference, names, names, names),
    st.builds(NullWhen, names, st.sampled_from(["iff", "if", "unless"]), conditions),
    st.builds(Never, conditions),
    st.builds(Keep, conditions),
    several.map(NullTogether),
    several.map(OneOf),
    several.map(Unique),
    st.builds(Step, names, numbers.filter(lambda n: n > 0)),
)


@given(rules)
@settings(max_examples=500, deadline=None)
def test_what_is_printed_reads_as_the_same_rule(rule: Rule) -> None:
    assert parse_rule(spell(rule), columns=COLUMNS) == rule


@given(st.text(max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_rule_or_a_fault_with_a_place(text: str) -> None:
    fault = None
    try:
        parse_rule(text, columns=COLUMNS)
    except RuleFault as err:
        fault = err
    assert fault is None or 1 <= fault.place <= len(text) + 1


@pytest.mark.parametrize(
    ("line", "place", "what"),
    [
        ("a <", 4, "expected a column"),
        ("a <= nobody", 6, "no column 'nobody'"),
        ("a > b", 3, "from small to large"),
        ("a", 2, "expected <, <=, ="),
        ("a = b $ 2", 7, "means nothing"),
        ("a null when b null", 8, "'iff', 'if' or 'unless'"),
        ("never a = 'open", 11, "never closed"),
        ("never a", 8, "expected a comparison"),
        ("one of: a, b, a", 15, "stands twice"),
        ("one of: a", 10, "2 columns"),
        ("a step 0", 8, "above 0"),
        ("a = difference(b)", 17, "expected ','"),
        ("never (a = 1", 13, "expected ')'"),
        ("a < b c", 7, "did not expect"),
        ("", 1, "expected a column"),
        ("a = lookup(b, 3)", 15, "expected a column"),
        ("a = 1e400 * b", 5, "1e400 is beyond 1e+18"),
        ("a step 1e19", 8, "1e19 is beyond"),
    ],
)
def test_a_fault_points_at_the_column_of_the_line(line: str, place: int, what: str) -> None:
    with pytest.raises(RuleFault) as raised:
        parse_rule(line, columns=COLUMNS)
    assert (raised.value.place, what in raised.value.what) == (place, True)


def test_brackets_without_end_are_refused_and_not_a_crash() -> None:
    for line in ("never " + "(" * 300 + "a", "never " + "not " * 200 + "a null", "a = " + "-" * 99):
        with pytest.raises(RuleFault):
            parse_rule(line, columns=COLUMNS)


FACTS = {
    f.name: f
    for f in (
        Fact(name="n", kind=Kind.NUMBER, missing=True),
        Fact(name="m", kind=Kind.NUMBER),
        Fact(name="day", kind=Kind.INSTANT),
        Fact(name="due", kind=Kind.INSTANT, missing=True),
        Fact(name="word", kind=Kind.WORD, listed=True, words=("x", "y")),
        Fact(name="yes", kind=Kind.TRUTH),
        Fact(name="no", kind=Kind.TRUTH),
        Fact(name="key", kind=Kind.KEY),
        Fact(name="note", kind=Kind.OTHER),
    )
}


@pytest.mark.parametrize(
    "line",
    [
        "n <= m",
        "day < due <= day + 3 days",
        "n = m * 2 + 1",
        "due = day + 2 weeks",
        "n = (due - day) // 1 day",
        "n null iff word = x",
        "due null unless day > '2020-01-31'",
        "never word in (x, y) and yes = true",
        "keep n - m < 3 or not n null",
        "one of: yes, no",
        "n step 5",
        "unique: key, word",
    ],
)
def test_rules_that_make_sense_pass(line: str) -> None:
    check_rule(parse_rule(line, columns=FACTS), line=line, facts=FACTS)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("n <= day", 1),
        ("word <= word", 1),
        ("n = day", 1),
        ("n = due - day", 1),
        ("n = n + 1", 1),
        ("word = n + 1", 1),
        ("m null if n null", 1),
        ("null together: n, m", 19),
        ("never word = z", 14),
        ("never n = x", 11),
        ("never day = 'soon'", 13),
        ("never yes = 2", 7),
        ("never key = 3", 7),
        ("never note null", 7),
        ("one of: yes, n", 14),
        ("word step 2", 1),
        ("unique: n", 9),
        ("never n = day", 7),
        ("keep day > 2020-05-01", 6),
        ("n = m // 0", 7),
        ("n = m % 0.0", 7),
        ("keep 1 = 1", 1),
        ("never 2 < 1 or 3 < 2", 1),
    ],
)
def test_rules_without_sense_are_pointed_at(line: str, place: int) -> None:
    with pytest.raises(RuleFault) as raised:
        check_rule(parse_rule(line, columns=FACTS), line=line, facts=FACTS)
    assert raised.value.place == place
