"""Formats of dates and times: what cannot be read or written by is refused when it is declared."""

from __future__ import annotations

from typing import Any

import pytest

from silosynth.client.maps import check_map
from silosynth.client.maps.silo_map import parse_map
from silosynth.common.errors import InvalidMap, InvalidSchema
from silosynth.common.schema import Schema, parse_schema


def schema(**more: Any) -> Schema:
    kind = {"kind": "datetime", "minimum": "2020-01-01", "maximum": "2020-12-31"}
    attributes = [{"name": "d", "source": "public", **kind, **more}]
    return parse_schema({"name": "t", "attributes": attributes})


@pytest.mark.parametrize("format", ["%Q", "%d.%m.%", "%Y-%m-%d %K", "%-Q"])
def test_a_format_that_says_nothing_of_a_date_is_refused(format: str) -> None:
    """Otherwise rows could not be written when a run has ended."""
    with pytest.raises(InvalidSchema, match=r"'d': format: .* is no format of dates or times"):
        schema(format=format)
    silo_map = parse_map({"version": 1, "columns": {"d": {"format": format}}})
    with pytest.raises(InvalidMap, match="column 'd' has a format that cannot be"):
        check_map(silo_map, schema=schema())


@pytest.mark.parametrize(
    "format", ["%d.%m.%Y", "%-d/%-m/%y", "%Y-%m-%d %H:%M:%S.%f%:z", "%G-W%V-%u", "%Y%j", "100%% %F"]
)
def test_formats_that_are_read_are_taken(format: str) -> None:
    assert schema(format=format)


def test_a_fault_of_a_map_is_told_by_its_place_alone() -> None:
    with pytest.raises(InvalidMap) as caught:
        parse_map({"version": 1, "columns": {"sex": {"mapp": {"1": "f"}}}})
    assert "columns: sex: mapp: extra inputs are not permitted" in str(caught.value)
