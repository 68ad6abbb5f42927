"""Texts: what a spam filter that learnt from synthetic messages knows of real ones, and samples.

Nine tenths of the 5,574 messages are trained on, in three silos that sum in secret, the rest is the
test; all are cut to LENGTH bytes. The filter is a logistic regression on words and their parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from generators_learn import text_auc
from generators_run import Way, dealt, make, say, split
from results import QUICK_RESULTS, RESULTS, Figure, is_quick
from tables import data_directory

from silosynth.common.architecture import Transformer
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.training import Optimiser
from silosynth.server.planner_training import TrainingChoice

LENGTH = 96
DELTA, SILOS = 1e-5, 3
EPSILONS = (1.0, 10.0)
SHOWN = 8


def measure(*, only: str = "") -> Iterator[Figure]:
    """Yield the area under the curve at each budget, and write a few messages of each.

    Args: only: budgets whose name, such as ``epsilon 10``, holds this.
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
        if only not in f"epsilon {epsilon:g}":
            continue
        made = make(_way(), silos, schema=schema(), epsilon=epsilon, rows=len(train), delta=DELTA)
        found = auc(made.table, test)
        say(f"  AUC {found:.3f}")
        name = f"text, epsilon {epsilon:g}, dp-sgd"
        yield Figure(figure=f"{name}, AUC", value=found, unit="AUC", peer=best)
        yield Figure(figure=f"{name}, run", value=made.seconds, unit="CPU s")
        directory = QUICK_RESULTS if is_quick() else RESULTS
        directory.mkdir(parents=True, exist_ok=True)
        target = directory / f"generators-text-{epsilon:g}.txt"
        target.write_text("\n".join(_samples(made.table)) + "\n", encoding="utf-8")


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


def _way() -> Way:
    training = TrainingChoice(
        architecture=Transformer(width=32, layers=1, heads=2),
        rounds=3 if is_quick() else 100,
        rate=Fraction(1, 10),
        optimiser=Optimiser.ADAM,
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
