"""Texts: what a spam filter that learnt from synthetic messages knows of real ones, and samples.

Nine tenths of the 5,574 messages are trained on, in three silos that sum in secret, the rest is the
test; all are cut to LENGTH bytes. The filter is a logistic regression on words and their parts.
Every budget is run three times.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from bench.generators.learn import text_auc
from bench.generators.repeat import repeat
from bench.generators.run import Made, Way, dealt, make, split
from bench.support.results import Figure, is_quick, results_of
from bench.support.tables import data_directory
from silosynth.common.generator import Transformer
from silosynth.common.plan import Optimiser
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.methods.training import TrainingChoice

LENGTH = 96
DELTA, SILOS = 1e-5, 3
EPSILONS = (1.0, 3.0, 10.0)
SHOWN = 8


def measure(*, only: str = "") -> Iterator[Figure]:
    """Yield the area under the curve at each budget, and write a few messages of each.

    Args: only: budgets whose name, such as ``epsilon 10,``, holds this.
    """
    table = pyarrow.csv.read_csv(
        data_directory() / "sms_spam" / "sms_spam.csv",
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
    )
    train, test = split(table, test_share=0.1)
    silos = dealt(train, SILOS)
    best = auc(train, test)
    yield Figure(figure="text, real messages, AUC", value=best, unit="AUC")
    for epsilon in EPSILONS[-1:] if is_quick() else EPSILONS:
        if only not in f"epsilon {epsilon:g},":
            continue
        yield from repeat(
            f"text, epsilon {epsilon:g}, dp-sgd",
            partial(_made, silos, epsilon=epsilon, rows=len(train)),
            score=lambda made: auc(made.table, test),
            measure="AUC",
            unit="AUC",
            best=best,
            keep=partial(_keep, name=f"generators-text-{epsilon:g}.txt"),
        )


def _made(silos: dict[str, pa.Table], seed: int, *, epsilon: float, rows: int) -> Made:
    """Run one budget with first weights of their own."""
    return make(_way(seed), silos, schema=schema(), epsilon=epsilon, rows=rows, delta=DELTA)


def _keep(made: Made, *, name: str) -> None:
    """Write a few messages of a run."""
    directory = results_of("generators")
    directory.mkdir(parents=True, exist_ok=True)
    text = "\n".join(_samples(made.table)) + "\n"
    (directory / name).write_text(text, encoding="utf-8")


def schema() -> Schema:
    """Return messages that are spam or not."""
    label = {"name": "label", "kind": "categorical", "categories": ["ham", "spam"]}
    return parse_schema(
        {
            "name": "messages",
            "label": "label",
            "attributes": [
                label | {"other": False, "source": "public"},
                {"name": "text", "kind": "text", "max_bytes": LENGTH},
            ],
        }
    )


def auc(table: pa.Table, test: pa.Table) -> float:
    """Return the area under the curve of a filter that learnt from a table, on the test rows."""
    return text_auc((_texts(table), _spam(table)), (_texts(test), _spam(test)))


def _way(seed: int) -> Way:
    training = TrainingChoice(
        architecture=Transformer(width=16, layers=1, heads=2),
        rounds=3 if is_quick() else 60,
        rate=Fraction(1, 10),
        optimiser=Optimiser.ADAM,
        learning_rate=0.02,
        seed=seed,
    )
    return Way(name="dp-sgd", method="dp-sgd", pooled=False, trust="shared", training=training)


def _samples(table: pa.Table) -> Iterator[str]:
    """Yield the first messages of each class, one a line."""
    for label in ("ham", "spam"):
        chosen = table.filter(pc.equal(table["label"], label))["text"][:SHOWN].to_pylist()
        yield from (f"{label}\t{text!r}" for text in chosen)


def _texts(table: pa.Table) -> list[str]:
    """Return as much of each text as a generator learns."""
    data = ((text or "").encode()[:LENGTH] for text in table["text"].to_pylist())
    return [piece.decode("utf-8", "ignore") for piece in data]


def _spam(table: pa.Table) -> np.ndarray:
    return np.array([label == "spam" for label in table["label"].to_pylist()], dtype=np.int64)
