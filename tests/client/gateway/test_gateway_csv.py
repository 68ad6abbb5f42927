"""A gateway whose table is a CSV file: no row decides whether it answers, or what it charges."""

from __future__ import annotations

from pathlib import Path

import pytest

from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.messages import Release
from silosynth.common.plan import plan_units
from tests.support.chance import FixedBits
from tests.support.gateways.signed import Federation, people_table

LONG = 2_200_000
"""Bytes of a field above what the fast reader is given."""

COUNTED = {
    "a note of 2.2 MB": b'3,f,odd,"' + b"y" * LONG + b'"',
    "a note of 2.2 MB without quotes": b"3,f,odd," + b"y" * LONG,
    "a note of 2.2 MB of lines": b'3,f,odd,"' + b"y\n" * (LONG // 2) + b'"',
    "a person of 2.2 MB": b'3,f,"' + b"y" * LONG + b'",x',
    "a person in latin 1": b"3,f,Z\xfcrich,x",
    "a sex of 2.2 MB": b'3,"' + b"f" * LONG + b'",odd,x',
    "an age of 2.2 MB": b'"' + b"3" * LONG + b'",f,odd,x',
    "half a character at the end": b"3,f,odd,\xe2\x82",
    "a NUL": b"3,f,odd,\0",
    "a quote in the middle": b'3,f,odd,5" tall',
    "a quote that does not close": b'3,f,odd,"open',
    "text behind a quote": b'3,f,odd,"a"b',
}
"""Rows of a person of their own, which are counted once."""

LEFT_OUT = {"too few fields": b"3,f", "too many fields": b"3,f,odd,x,y", "nothing": b""}
"""Lines that are no rows."""


def lines() -> list[bytes]:
    columns = people_table().to_pydict()
    rows = zip(columns["age"], columns["sex"], columns["who"], strict=True)
    return [b"age,sex,who,note", *(f"{a},{s},{w},n".encode() for a, s, w in rows)]


def released(directory: Path, rows: list[bytes]) -> tuple[Release, int, list[str]]:
    """Return what a silo with such a file answers, what it charges, and what its operator hears.

    It is asked twice, and says the same. Its noise and the secret that chooses rows are fixed.
    """
    directory.mkdir()
    federation = Federation(directory=directory)
    file = directory / "people.csv"
    file.write_bytes(b"\n".join(rows) + b"\n")
    data = federation.policy.model_dump(mode="json", by_alias=True)
    data["datasets"][0] |= {"format": "csv", "path": str(file)}
    federation.policy = type(federation.policy).model_validate(data)
    federation.fix_persons()
    plan = federation.plan()
    project = Scope(kind=ScopeKind.PROJECT, name=federation.policy.projects[0].name)
    with federation.open(bits=FixedBits(7)) as silo:
        sealed, asked = federation.sealed(plan), federation.request(plan)
        silo.gateway.propose(plan=sealed)
        answer = silo.gateway.answer(plan=sealed, request=asked)
        spent = silo.ledger.spent(project)
        assert silo.gateway.answer(plan=sealed, request=asked) == answer
        assert silo.ledger.spent(project) == spent == plan_units(plan)
    release = federation.read(answer)
    assert isinstance(release, Release), release
    return release, spent, federation.told


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, int, list[str]]:
    return released(tmp_path_factory.mktemp("csv") / "plain", lines())


@pytest.mark.parametrize("name", [*COUNTED, *LEFT_OUT])
def test_a_bad_row_is_answered_charged_once_and_moves_its_own_cell_alone(
    name: str, tmp_path: Path, plain: tuple[Release, int, list[str]]
) -> None:
    row = (COUNTED | LEFT_OUT)[name]
    rows = lines()
    rows.insert(len(rows) // 2, row)
    found, spent, told = released(tmp_path / "odd", rows)
    before, cost, _ = plain
    assert spent == cost
    moved = [a - b for a, b in zip(found.marginals, before.marginals, strict=True)]
    assert [list(m[m != 0]) for m in moved] == ([[1], [1]] if name in COUNTED else [[], []])
    unread = [line for line in told if line.endswith("not counted")]
    assert len(unread) == (name in LEFT_OUT and row != b""), told
