"""One file with a column of every kind that once came out wrong, from draft to rows.

Each column stands for a case: what it is drafted as, and what its synthetic values look like. What
draft and run refuse, and whole files of another make, are tests of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from silosynth.common.cli.app import run
from silosynth.common.schema import load_schema

ROWS = 3_000
Maker = Callable[[np.random.Generator], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A column: how it is made, facts of its draft, and the form of every synthetic value."""

    made: Maker
    drafted: dict[str, Any]
    form: str
    blank: tuple[float, float] = (0, 0)


def _days(r: np.random.Generator) -> pd.Series:
    return pd.Series(pd.Timestamp("2021-03-01") + pd.to_timedelta(r.integers(0, 900, ROWS), "D"))


def _instants(r: np.random.Generator) -> pd.Series:
    return _days(r) + pd.to_timedelta(r.integers(0, 86_400, ROWS), "s")


def _some(values: Any, r: np.random.Generator, *, share: float, otherwise: str = "") -> Any:
    return np.where(r.random(ROWS) < share, values, otherwise)


def _picked(*values: str) -> Maker:
    return lambda r: r.choice(values, ROWS)


DAY, MONTH = r"(0[1-9]|[12]\d|3[01])", r"(0[1-9]|1[0-2])"
CASES = {
    "date": Case(
        made=lambda r: _days(r).dt.strftime("%Y-%m-%d"),
        drafted={"kind": "datetime", "resolution": "day"},
        form=rf"202[1-3]-{MONTH}-{DAY}",
    ),
    "instant": Case(
        made=lambda r: _instants(r).dt.strftime("%Y-%m-%d %H:%M:%S"),
        drafted={"kind": "datetime", "resolution": "second"},
        form=rf"202[1-3]-{MONTH}-{DAY} \d\d:\d\d:\d\d",
    ),
    "day first": Case(
        made=lambda r: _days(r).dt.strftime("%d/%m/%Y"),
        drafted={"kind": "datetime", "format": "%d/%m/%Y"},
        form=rf"{DAY}/{MONTH}/202[1-3]",
    ),
    "month first, twelve hours": Case(
        made=lambda r: _instants(r).dt.strftime("%m/%d/%Y %I:%M %p"),
        drafted={"kind": "datetime", "format": "%m/%d/%Y %I:%M %p"},
        form=rf"{MONTH}/{DAY}/202[1-3] (0[1-9]|1[0-2]):\d\d [AP]M",
    ),
    "month alone": Case(
        made=lambda r: _days(r).dt.strftime("%Y-%m"),
        drafted={"kind": "datetime", "format": "%Y-%m", "resolution": "month"},
        form=rf"202[1-3]-{MONTH}",
    ),
    "with an offset": Case(
        made=lambda r: _instants(r).dt.strftime("%Y-%m-%dT%H:%M:%S+01:00"),
        drafted={"kind": "datetime"},
        form=r"202[1-3]-\d\d-\d\dT\d\d:\d\d:\d\d\+01:00",
    ),
    "cents": Case(
        made=lambda r: [f"{x:.2f}" for x in r.gamma(2, 20, ROWS)],
        drafted={"kind": "real", "decimals": 2},
        form=r"\d+\.\d\d",
    ),
    "dollars": Case(
        made=lambda r: [f"${x:,.2f}" for x in r.lognormal(7, 1, ROWS)],
        drafted={"kind": "real", "decimals": 2},
        form=r"\$\d{1,3}(,\d{3})*\.\d\d",
    ),
    "per cent": Case(
        made=lambda r: [f"{x:.1f}%" for x in r.uniform(0, 100, ROWS)],
        drafted={"kind": "real", "decimals": 1},
        form=r"\d+\.\d%",
    ),
    "minus in brackets": Case(
        made=lambda r: [f"({-x})" if x < 0 else str(x) for x in r.integers(-90, 90, ROWS)],
        drafted={"kind": "integer"},
        form=r"\d+|\([1-9]\d*\)",
    ),
    "nothing": Case(made=lambda r: [""] * ROWS, drafted={}, form="", blank=(1, 1)),
    "concept": Case(
        made=_picked("8507", "8532", "8551"),
        drafted={"kind": "categorical", "categories": (8507, 8532, 8551)},
        form="8507|8532|8551",
    ),
    "leading zeros": Case(
        made=lambda r: r.choice([f"{7 * k:05d}" for k in range(1, 9)], ROWS),
        drafted={"kind": "categorical"},
        form=r"000\d\d",
    ),
    "account": Case(
        made=lambda r: 1_000_000_000 + r.permutation(ROWS) * 2_345_671,
        drafted={"kind": "identifier", "like": "[1-9][0-9]{9}"},
        form=r"[1-9]\d{9}",
    ),
    "record": Case(
        made=lambda r: 13_007_199_256_887_041 + r.permutation(ROWS) * 1_854_321,
        drafted={"kind": "identifier", "like": "[1-9][0-9]{16}"},
        form=r"[1-9]\d{16}",
    ),
    "key": Case(
        made=lambda r: [f"P-{k:06d}" for k in r.permutation(ROWS)],
        drafted={"kind": "identifier", "prefix": "P-", "digits": 6},
        form=r"P-\d{6}",
    ),
    "key with gaps": Case(
        made=lambda r: _some(
            [f"{c}{7 * k:05d}" for k, c in enumerate("ABC" * 1_000)], r, share=0.3
        ),
        drafted={"kind": "identifier", "missing": True},
        form=r"([ABC]\d{5})?",
        blank=(0.6, 0.8),
    ),
    "country": Case(
        made=_picked("NA", "FR", "NO", "DE"),
        drafted={"kind": "categorical", "missing": True},
        form="NA|FR|NO|DE",
    ),
    "blank": Case(
        made=lambda r: _some(
            [f"{x:.2f}" for x in r.gamma(2, 90, ROWS)], r, share=0.8, otherwise=" "
        ),
        drafted={"kind": "real", "missing": True},
        form=r"\d+\.\d\d| ",
        blank=(0.1, 0.3),
    ),
    "one value": Case(
        made=lambda r: ["EUR"] * ROWS,
        drafted={"kind": "categorical", "categories": ("EUR",), "other": False},
        form="EUR",
    ),
    "yes and no": Case(made=_picked("Yes", "No"), drafted={"kind": "boolean"}, form="Yes|No"),
    "nobody's value": Case(
        made=_picked("One year", "Two year"),
        drafted={"kind": "categorical", "other": False},
        form="One year|Two year",
    ),
    "mostly zero": Case(
        made=lambda r: _some(
            [f"{x:.2f}" for x in r.lognormal(9, 1, ROWS)], r, share=0.1, otherwise="0.0"
        ),
        drafted={"kind": "real"},
        form=r"\d+\.\d+",
    ),
    "Under normal conditions, is a person who books a seat by the window obliged to let the "
    "person beside them look out of it, and how often, would you say?": Case(
        made=_picked("always", "never", "often"),
        drafted={"kind": "ordinal", "categories": ("never", "often", "always")},
        form="always|never|often",
    ),
}


def _walk(*words: str | Path) -> None:
    assert run([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def walked(
    tmp_path_factory: pytest.TempPathFactory, fixed_bits_of_a_module: None
) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    """Return the draft, the table, and synthetic rows, by the commands alone."""
    home, r = tmp_path_factory.mktemp("cases"), np.random.default_rng(7)
    table = pd.DataFrame({"site": r.choice(["north", "south"], ROWS)})
    table = table.assign(**{name: case.made(r) for name, case in CASES.items()}).astype(str)
    table.to_csv(home / "table.csv", index=False)
    schema, plan, rows = home / "schema.yaml", home / "plan.yaml", home / "rows.csv"
    _walk("schema", "draft", home / "table.csv", "--out", schema)
    _walk("schema", "accept", schema, "--all-declared", "--why", "a code book")
    budget = ("--epsilon", "40", "--delta", "1e-6", "--method", "independent")
    _walk("plan", "new", schema, *budget, "--silos", "north,south", "--out", plan)
    where = ("--silos", home / "table.csv", "--by", "site", "--engine", "local")
    _walk("simulate", plan, "--schema", schema, *where, "--out", home / "run")
    drawn = ("--rows", str(ROWS), "--seed", "1", "--out", rows)
    _walk("sample", home / "run" / "result.sampler", *drawn)
    return schema, table, pd.read_csv(rows, dtype=str, keep_default_na=False)


def test_the_columns_are_those_of_the_table(
    walked: tuple[Path, pd.DataFrame, pd.DataFrame],
) -> None:
    _, table, rows = walked
    assert list(rows) == list(table)


@pytest.mark.parametrize("name", CASES)
def test_a_column_is_understood_and_comes_out_as_it_was(
    name: str, walked: tuple[Path, pd.DataFrame, pd.DataFrame]
) -> None:
    schema, _, rows = walked
    case = CASES[name]
    (drafted,) = (a for a in load_schema(schema).attributes if a.name == name)
    facts = drafted.model_dump()
    assert {k: facts[k] for k in case.drafted} == case.drafted
    assert [v for v in rows[name] if not re.fullmatch(case.form, v)] == []
    least, most = case.blank
    assert least <= (rows[name].str.strip() == "").mean() <= most


def test_keys_are_unique(walked: tuple[Path, pd.DataFrame, pd.DataFrame]) -> None:
    _, _, rows = walked
    assert rows["key"].is_unique
    assert rows["account"].is_unique
    assert rows["record"].is_unique
