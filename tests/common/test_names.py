"""Names that people give become keys for machines, and stay apart."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from silosynth.common.names import machine_key

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@given(st.text(max_size=80))
def test_every_text_has_a_key_that_is_its_own_key(text: str) -> None:
    key = machine_key(text)
    assert KEY.fullmatch(key)
    assert machine_key(key) == key


def test_names_of_any_language_stay_apart() -> None:
    names = [
        "Site A",
        "Köln",
        "São Paulo",
        "北京",
        "上海",
        "O'Hare/T1",
        "Москва",
        "é",
        "",
        "a" * 90,
    ]
    keys = [machine_key(name) for name in names]
    assert len(set(keys)) == len(keys)
    assert keys[:3] == ["Site-A", "Koln", "Sao-Paulo"]
    assert keys.count("missing") == 1
