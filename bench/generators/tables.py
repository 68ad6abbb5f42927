"""Tables by marginals and by generators: distances, and what a model learns from the rows.

Adult in ten silos, ACS in its 20 places, and one stay a patient of diabetes130 in ten silos.
Distances are to the rows that were trained on; the area under the curve is that of gradient
boosting which learns from the synthetic rows and is asked about real ones that nobody trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from bench.generators.learn import table_auc
from bench.generators.run import Made, Way, dealt, make, say, split, vouch
from bench.support.distances import mean_distances
from bench.support.results import Figure, is_quick, read_facts
from bench.support.tables import data_directory, encode, load_case, split_by
from silosynth.common.generator import MaskedMlp
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.scores.metrics import bootstrap, independent_columns
from silosynth.server.methods.training import TrainingChoice

EPSILONS = (1.0, 3.0, 10.0)
NARROW, BROAD, WIDE_FROM = 16, 32, 3.0
"""Widths of the network, and the budget from which on it is the larger one."""
SHARED_ALLOWANCE = 1.05
"""How much further than pooled rows ten silos with shared noise may be."""

REFERENCES = "references"

WIDTHS = {"wide": 137, "wide-100": 100, "wide-75": 75, "wide-50": 50}
"""With one attribute more than 137 AIM asks for more marginals than a silo answers by default."""
WIDE_ROWS = 25_000

MEASURES = (("2-way distance", "TV"), ("3-way distance", "TV"), ("AUC", "AUC"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """A table in silos, and rows to test on; ``positive`` are the label's codes to find."""

    schema: Schema
    silos: Mapping[str, pa.Table]
    test: pa.Table
    label: str
    positive: tuple[str, ...]

    @property
    def train(self) -> np.ndarray:
        """Return (rows, attributes) codes of all rows that are trained on."""
        return encode(pa.concat_tables(self.silos.values()), schema=self.schema)

    def is_positive(self, table: pa.Table) -> np.ndarray:
        """Return (rows,) whether the label is one of those to find."""
        found = pc.is_in(table[self.label].cast(pa.string()), pa.array(self.positive))
        return found.to_numpy(zero_copy_only=False).astype(np.int64)

    @property
    def label_column(self) -> int:
        """Return where the label stands among the codes."""
        return self.schema.domain.attributes.index(self.label)

    def is_positive_code(self, real: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return (rows,) whether codes of the label are some of those to find.

        Args: real: the codes that are trained on.
        """
        table = pa.concat_tables(self.silos.values())
        wanted = np.unique(real[self.is_positive(table) == 1, self.label_column])
        return np.isin(codes, wanted).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How long generators are trained: half a minute to two minutes of one core, pooled."""

    rounds: int = 25
    broad_rounds: int = 25
    rate: Fraction = Fraction(1, 10)

    def own(self, *, epsilon: float) -> TrainingChoice:
        """Return training with own noise: one local step a round."""
        return self._choose(epsilon, local_steps=1)

    def shared(self, *, epsilon: float) -> TrainingChoice:
        """Return training with shared noise, as many steps."""
        return self._choose(epsilon)

    def _choose(self, epsilon: float, **settings: Any) -> TrainingChoice:
        broad = epsilon >= WIDE_FROM
        network = MaskedMlp(width=BROAD if broad else NARROW)
        rounds = 3 if is_quick() else self.broad_rounds if broad else self.rounds
        return TrainingChoice(architecture=network, rate=self.rate, rounds=rounds, **settings)


def epsilons() -> tuple[float, ...]:
    """Return the budgets that are measured."""
    return EPSILONS[:1] if is_quick() else EPSILONS


def measure(name: str, *, epsilon: float, only: str = "", repeat: int = 1) -> Iterator[Figure]:
    """Yield the figures of a table at one budget, marginals first.

    Args:
        only: ways, or references, whose name holds this; others are read from the file.
        repeat: how many runs of each way a figure is the mean of.
    """
    ground = load_ground(name)
    real = ground.train
    label = f"{name}, epsilon {epsilon:g}"
    before = read_facts(f"generators-{name}-{epsilon:g}", room="generators") if only else []
    known = {fact["figure"]: fact["value"] for fact in before}
    if only in REFERENCES:
        yield from _references(name, ground, real)
    for way in _ways(SCALES[name], epsilon=epsilon):
        if only not in way.name:
            continue
        runs = np.array(
            [_score(way, ground, real, epsilon=epsilon, seed=1 + i) for i in range(repeat)]
        )
        *means, seconds = runs.mean(axis=0).tolist()
        spreads = (np.ptp(runs, axis=0) / 2).tolist() if repeat > 1 else [None] * runs.shape[1]
        for value, spread, (measure, unit) in zip(means, spreads, MEASURES, strict=False):
            known[f"{label}, {way.name}, {measure}"] = value
            peer = known.get(f"{label}, {_peer(way.name)}, {measure}")
            gated = way.name == SHARED and peer is not None and measure == MEASURES[0][0]
            yield Figure(
                figure=f"{label}, {way.name}, {measure}",
                value=value,
                unit=unit,
                spread=spread,
                peer=None if _peer(way.name) == way.name else peer,
                at_most=SHARED_ALLOWANCE * peer if gated and peer else None,
            )
        yield Figure(
            figure=f"{label}, {way.name}, run", value=seconds, spread=spreads[-1], unit="CPU s"
        )


POOLED, SHARED = "dp-sgd, pooled", "dp-sgd, silos, shared noise"


def _peer(way: str) -> str:
    """Return what a way is held against: AIM, but pooled DP-SGD for shared noise."""
    if way == SHARED:
        return POOLED
    return "aim, pooled" if way.endswith("pooled") else "aim, silos, own noise"


def _ways(scale: Scale, *, epsilon: float) -> tuple[Way, ...]:
    """Return all ways, marginals before generators."""
    sgd, own, shared = "dp-sgd", scale.own(epsilon=epsilon), scale.shared(epsilon=epsilon)
    ways = (
        Way(name="aim, pooled", method="aim"),
        Way(name="mst, pooled", method="mst"),
        Way(name="one-shot, pooled", method="one-shot", frequencies=64 if is_quick() else None),
        Way(name=POOLED, method=sgd, trust="shared", training=shared),
        Way(name="aim, silos, own noise", method="aim", pooled=False),
        Way(name="one-shot, silos, own noise", method="one-shot", pooled=False),
        Way(name="dp-sgd, silos, own noise", method=sgd, pooled=False, training=own),
        Way(name=SHARED, method=sgd, pooled=False, trust="shared", training=shared),
    )
    return ways[1:4] if is_quick() else ways


def _references(name: str, ground: Ground, real: np.ndarray) -> Iterator[Figure]:
    """Yield the scores of the best and the worst table that could be expected."""
    columns = tuple(real.T)
    for reference, made in (
        ("real rows", columns),
        ("bootstrap of the real rows", bootstrap(columns, seed=0)),
        ("independent columns", independent_columns(columns, seed=0)),
    ):
        codes = np.stack(made, axis=1)
        label = ground.is_positive_code(real, codes[:, ground.label_column])
        found = score_codes(ground, real, codes, label=label)
        for value, (measure, unit) in zip(found, MEASURES, strict=True):
            yield Figure(figure=f"{name}, {reference}, {measure}", value=value, unit=unit)


def _score(way: Way, ground: Ground, real: np.ndarray, *, epsilon: float, seed: int) -> list[float]:
    """Return the scores of what a way makes, and its processor seconds."""
    made: Made = make(
        way, ground.silos, schema=ground.schema, epsilon=epsilon, rows=len(real), seed=seed
    )
    codes = encode(made.table, schema=ground.schema)
    found = score_codes(ground, real, codes, label=ground.is_positive(made.table))
    say("  " + ", ".join(f"{m[0]} {v:.4f}" for m, v in zip(MEASURES, found, strict=True)))
    return [*found, made.seconds]


def score_codes(
    ground: Ground, real: np.ndarray, codes: np.ndarray, *, label: np.ndarray
) -> list[float]:
    """Return 2-way and 3-way distance, and the area under the curve on the test rows."""
    distances = mean_distances(real, codes, domain=ground.schema.domain)[1:]
    place = ground.label_column
    test = encode(ground.test, schema=ground.schema)
    auc = table_auc(
        (np.delete(codes, place, axis=1), label),
        (np.delete(test, place, axis=1), ground.is_positive(ground.test)),
    )
    return [*(float(d) for d in distances), auc]


def load_ground(name: str) -> Ground:
    """Return a table by name."""
    load = {"adult": _adult, "acs": _acs, "diabetes130": _diabetes}
    return _wide(WIDTHS[name]) if name in WIDTHS else load[name]()


def _adult() -> Ground:
    case = load_case("adult", "adult.parquet")
    train, test = split(case.table, test_share=0.9 if is_quick() else 0.2)
    return Ground(
        schema=vouch(case.schema, label="income"),
        silos=dealt(train, 10),
        test=test,
        label="income",
        positive=(">50K",),
    )


def _acs() -> Ground:
    """Return the 2019 rows of 20 places; who owns the home is to be told."""
    case = load_case("nist_acs", "national2019.csv")
    train, test = split(case.table)
    return Ground(
        schema=vouch(case.schema, label="OWN_RENT"),
        silos={f"puma-{v}": rows for v, rows in split_by(train, "PUMA").items()},
        test=test,
        label="OWN_RENT",
        positive=("1",),
    )


def _diabetes() -> Ground:
    """Return one stay of each patient, the first: a person is a row, and patients differ."""
    case = load_case("diabetes130", "diabetes130.parquet")
    source = data_directory() / "diabetes130" / "diabetes130.parquet"
    keys = pyarrow.parquet.read_table(source, columns=["encounter_id", "patient_nbr"])
    order = np.lexsort((keys["encounter_id"].to_numpy(), keys["patient_nbr"].to_numpy()))
    _, first = np.unique(keys["patient_nbr"].to_numpy()[order], return_index=True)
    train, test = split(case.table.take(pa.array(np.sort(order[first]))))
    return Ground(
        schema=vouch(case.schema, label="readmitted"),
        silos=dealt(train, 10),
        test=test,
        label="readmitted",
        positive=("<30", ">30"),
    )


def _wide(width: int) -> Ground:
    """Return a table of so many answers of 16 kinds of people, from a public seed."""
    rng = np.random.default_rng(3)
    kinds = rng.integers(0, 16, WIDE_ROWS)
    shares = rng.beta(0.5, 0.5, (16, width))
    answers = rng.random((WIDE_ROWS, width)) < shares[kinds]
    names = [f"q{i:03d}" for i in range(width)]
    train, test = split(pa.table(dict(zip(names, answers.T, strict=True))))
    boolean = {"kind": "boolean", "source": "public"}
    attributes = [{"name": name, **boolean} for name in names]
    schema = parse_schema({"name": "wide", "label": names[0], "attributes": attributes})
    return Ground(
        schema=schema, silos=dealt(train, 10), test=test, label=names[0], positive=("true",)
    )


SCALES = {
    "adult": Scale(broad_rounds=50),
    "acs": Scale(),
    "diabetes130": Scale(rate=Fraction(1, 25)),
    **dict.fromkeys(WIDTHS, Scale()),
}
