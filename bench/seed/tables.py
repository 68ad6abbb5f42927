"""The tables that projections are measured on: rows in silos, a test set, and a class to tell.

Covertype and optdigits have many numbers and classes, heart_disease four hospitals and penguins
three islands of few rows. ``spread`` is a made-up table of 200 numbers of three kinds, ``half`` the
even digits of optdigits and ``odd`` the others: settings were chosen on those three. ``embedded``
are 32 public numbers of each message, and whether it is spam.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from bench.generators.run import dealt, split, vouch
from bench.support.results import is_quick
from bench.support.tables import data_directory, encode, load_case, split_by
from silosynth.common.codec import encode_texts
from silosynth.common.generator.voting.ngrams import parts_of
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.scores import fixed_cliques, marginal_distance

SILOS = 3
PIXELS = tuple(f"p{row}{column}" for row in range(8) for column in range(8))
_SPREAD_ROWS, _SPREAD_COLUMNS, _KINDS, _FACTORS = 12_000, 200, 3, 8
_QUICK_ROWS = 1_500
_PAIRS, _NUMBERS = 400, 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """A table in silos, rows to test on, and whether a support vector machine tells classes."""

    schema: Schema
    silos: Mapping[str, pa.Table]
    test: pa.Table
    images: bool = False

    @property
    def train(self) -> np.ndarray:
        """Return (rows, attributes) codes of all rows that are trained on."""
        return encode(pa.concat_tables(self.silos.values()), schema=self.schema)

    def accuracy(self, codes: np.ndarray) -> float:
        """Return the share of test rows whose class a classifier that learnt from rows tells."""
        place = self.schema.domain.attributes.index(str(self.schema.label))
        seen, classes = np.delete(codes, place, axis=1), codes[:, place]
        test = encode(self.test, schema=self.schema)
        asked, true = np.delete(test, place, axis=1), test[:, place]
        if len(np.unique(classes)) < 2:
            return float((true == classes[0]).mean())
        model = SVC() if self.images else HistGradientBoostingClassifier(random_state=0)
        with threadpool_limits(1):
            return float(model.fit(seen, classes).score(asked, true))


def pair_distance(real: np.ndarray, other: np.ndarray, *, schema: Schema) -> float:
    """Return the mean 2-way distance of two coded tables, of at most 400 fixed pairs."""
    pairs = fixed_cliques(schema.domain, 2, count=_PAIRS, seed=0)
    columns = tuple(real.T), tuple(other.T)
    return float(marginal_distance(*columns, domain=schema.domain, cliques=pairs).mean())


def load_ground(name: str) -> Ground:
    """Return a table by name."""
    return TABLES[name]()


def _half() -> Ground:
    return _digits(of=0)


def _odd() -> Ground:
    return _digits(of=1)


def _digits(*, of: int | None = None) -> Ground:
    """Return the images of 30 writers in three silos; those of 13 others are the test.

    Args: of: the even digits alone at 0, the odd ones at 1.
    """
    table = pyarrow.parquet.read_table(data_directory() / "optdigits" / "optdigits.parquet")
    if of is not None:
        label = table["label"].cast(pa.int64())
        table = table.filter(pa.array(label.to_numpy() % 2 == of))
    train, test = (table.filter(pc.equal(table["split"], s)) for s in ("train", "test"))
    pixel = {"kind": "integer", "minimum": 0, "maximum": 16, "source": "public"}
    classes = list(range(10)) if of is None else list(range(of, 10, 2))
    label = {"name": "label", "kind": "categorical", "categories": classes, "other": False}
    schema = parse_schema(
        {
            "name": "digits",
            "label": "label",
            "attributes": [
                label | {"source": "public"},
                *({"name": name} | pixel for name in PIXELS),
            ],
            "images": [{"name": "digit", "width": 8, "height": 8, "attributes": PIXELS}],
        }
    )
    return Ground(
        schema=schema,
        silos=dealt(train.select(["label", *PIXELS]), SILOS),
        test=test.select(["label", *PIXELS]),
        images=True,
    )


def _covertype() -> Ground:
    case = load_case("covertype_sample", "covertype_sample.csv")
    train, test = split(case.table, test_share=0.9 if is_quick() else 0.2)
    schema = vouch(case.schema, label="Cover_Type")
    return Ground(schema=schema, silos=dealt(train, SILOS), test=test)


def _heart() -> Ground:
    """Return the patients of four hospitals; the disease is to be told."""
    case = load_case("heart_disease", "heart_disease.csv")
    train, test = split(case.table)
    schema = vouch(case.schema, label="num")
    silos = split_by(train, "hospital") if "hospital" in train.column_names else dealt(train, SILOS)
    return Ground(schema=schema, silos=silos, test=test)


def _penguins() -> Ground:
    """Return penguins; the species is to be told, and islands are the silos."""
    case = load_case("penguins", "penguins.csv")
    train, test = split(case.table)
    schema = vouch(case.schema, label="species")
    return Ground(schema=schema, silos=split_by(train, "island"), test=test)


def _messages() -> Ground:
    """Return messages as public numbers of their parts: a sum of signs by hashed runs of bytes."""
    table = pyarrow.csv.read_csv(
        data_directory() / "sms_spam" / "sms_spam.csv",
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
    )
    texts, _ = encode_texts(table["text"].cast(pa.large_string()), name="text", max_bytes=160)
    parts = parts_of(texts).astype(np.float64)
    signs = np.random.default_rng(11).choice((-1.0, 1.0), (parts.shape[1], _NUMBERS))
    numbers = parts @ signs / np.sqrt(np.maximum(parts.sum(axis=1, keepdims=True), 1.0))
    levels = np.clip(np.rint(numbers * 3 + 8, casting="unsafe"), 0, 15).astype(np.int64)
    names = [f"e{i:02d}" for i in range(_NUMBERS)]
    number = {"kind": "integer", "minimum": 0, "maximum": 15, "source": "public"}
    kind = {"name": "label", "kind": "categorical", "categories": ["ham", "spam"], "other": False}
    attributes = [kind | {"source": "public"}, *({"name": n, **number} for n in names)]
    schema = parse_schema({"name": "embedded", "label": "label", "attributes": attributes})
    columns = dict(zip(names, levels.T, strict=True))
    train, test = split(pa.table({"label": table["label"], **columns}))
    return Ground(schema=schema, silos=dealt(train, SILOS), test=test)


def _spread() -> Ground:
    """Return numbers of three kinds with common factors, from a public seed."""
    rng = np.random.default_rng(3)
    rows = _QUICK_ROWS if is_quick() else _SPREAD_ROWS
    kinds = rng.integers(0, _KINDS, rows)
    factors = rng.normal(size=(rows, _FACTORS)) @ rng.normal(size=(_FACTORS, _SPREAD_COLUMNS))
    centres = rng.normal(size=(_KINDS, _SPREAD_COLUMNS))[kinds]
    own = rng.normal(size=(rows, _SPREAD_COLUMNS))
    values = np.clip(np.rint(0.3 * factors + 0.6 * centres + own, casting="unsafe"), -4, 4) + 4
    names = [f"x{i:03d}" for i in range(_SPREAD_COLUMNS)]
    number = {"kind": "integer", "minimum": 0, "maximum": 8, "source": "public"}
    kind = {"name": "kind", "kind": "categorical", "categories": ["0", "1", "2"], "other": False}
    attributes = [kind | {"source": "public"}, *({"name": n, **number} for n in names)]
    schema = parse_schema({"name": "spread", "label": "kind", "attributes": attributes})
    columns = dict(zip(names, values.T.astype(np.int64), strict=True))
    train, test = split(pa.table({"kind": kinds.astype(str), **columns}))
    return Ground(schema=schema, silos=dealt(train, SILOS), test=test)


TABLES = {
    "optdigits": _digits,
    "covertype": _covertype,
    "heart_disease": _heart,
    "penguins": _penguins,
    "half": _half,
    "odd": _odd,
    "spread": _spread,
    "embedded": _messages,
}
REPORTED = ("optdigits", "covertype", "heart_disease", "penguins")
