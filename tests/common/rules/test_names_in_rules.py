"""A rule can name every column, whatever stands in its name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from silosynth.common.rules import columns_of, spell_name
from silosynth.common.schema import parse_schema


@given(st.text(st.characters(min_codepoint=32, max_codepoint=400), min_size=1, max_size=12))
def test_a_name_is_spelled_as_it_is_read(name: str) -> None:
    attribute = {"name": name, "kind": "identifier", "source": "public"}
    line = f'{spell_name(name)} like "[A-Z]{{2}}"'
    schema = parse_schema({"name": "t", "attributes": [attribute], "rules": [line]})
    assert [columns_of(rule) for rule in schema.ruled.rules] == [(name,)]
