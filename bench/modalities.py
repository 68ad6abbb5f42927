"""What synthetic digits and messages are worth: classifiers that learn from them, tested on real.

Three silos that sum in secret hold the training rows: 3,823 digits of 30 writers, and nine tenths
of 5,574 messages. A classifier learns from as many synthetic rows and is tested on the digits of 13
other writers, or on the other messages; what it learns from the real rows stands beside it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch
from results import QUICK_RESULTS, Figure, is_quick, publish
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC
from tables import data_directory

from silosynth.common.architecture import Transformer
from silosynth.common.sampler import draw
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.planner import new_plan
from silosynth.server.planner_training import TrainingChoice
from silosynth.simulations import simulate

DELTA = 1e-5
SILOS = 3
MESSAGE_BYTES = 96
EPSILONS = (1.0, 10.0)
METHODS = ("one-shot", "dp-sgd")
ROUNDS = 100
PIXELS = [f"p{row}{column}" for row in range(8) for column in range(8)]


def digits(methods: Sequence[str], epsilons: Sequence[float]) -> Iterator[Figure]:
    """Yield the accuracy on real digits, by method and budget."""
    table = pa.parquet.read_table(data_directory() / "optdigits" / "optdigits.parquet")
    is_train = np.asarray(table["split"].to_pylist()) == "train"
    train, test = (table.filter(pa.array(m)).drop_columns("split") for m in (is_train, ~is_train))
    real = _accuracy(train, test)
    yield Figure(figure="digits, real rows, accuracy", value=real, unit="share")
    network = Transformer(width=32, layers=2, heads=4)
    choice = TrainingChoice(architecture=network, rounds=ROUNDS, rate=Fraction(1, 8))
    options = {"one-shot": {"frequencies": 512}, "dp-sgd": {"training": choice}}
    for method in methods:
        for epsilon in epsilons:
            drawn, seconds = _run(_digit_schema(), train, method, epsilon, options[method])
            label = f"digits, epsilon {epsilon:g}, {method}"
            accuracy = _accuracy(drawn, test)
            yield Figure(figure=f"{label}, accuracy", value=accuracy, unit="share", peer=real)
            yield Figure(figure=f"{label}, run", value=seconds, unit="CPU s")


def messages(methods: Sequence[str], epsilons: Sequence[float]) -> Iterator[Figure]:
    """Yield the area under the curve of a spam classifier, by budget."""
    table = pa.csv.read_csv(
        data_directory() / "sms_spam" / "sms_spam.csv",
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
    ).select(["label", "text"])
    order = np.random.default_rng(0).permutation(table.num_rows)
    cut = table.num_rows // 10
    test, train = table.take(pa.array(order[:cut])), table.take(pa.array(order[cut:]))
    real = _auc(train, test)
    yield Figure(figure="messages, real rows, AUC", value=real, unit="share")
    network = Transformer(width=32, layers=1, heads=2)
    rounds = 3 if is_quick() else ROUNDS
    choice = TrainingChoice(architecture=network, rounds=rounds, rate=Fraction(1, 10))
    for epsilon in epsilons if "dp-sgd" in methods else ():
        drawn, seconds = _run(_message_schema(), train, "dp-sgd", epsilon, {"training": choice})
        label = f"messages, epsilon {epsilon:g}, dp-sgd"
        yield Figure(figure=f"{label}, AUC", value=_auc(drawn, test), unit="share", peer=real)
        yield Figure(figure=f"{label}, run", value=seconds, unit="CPU s")
        for row in drawn.slice(0, 12).to_pylist():
            print(f"  {row['label']}: {row['text']!r}", file=sys.stderr)


def _run(
    schema: Schema, table: pa.Table, method: str, epsilon: float, options: dict[str, Any]
) -> tuple[pa.Table, float]:
    """Run a plan; return as many synthetic rows as there are real ones, and processor seconds."""
    print(f"{schema.name}: {method}, epsilon {epsilon:g}", file=sys.stderr, flush=True)
    order = np.random.default_rng(1).permutation(table.num_rows)
    silos = {f"s{i}": table.take(pa.array(p)) for i, p in enumerate(np.array_split(order, SILOS))}
    plan = new_plan(
        schema,
        epsilon=epsilon,
        delta=DELTA,
        silos=tuple(silos),
        method=method,
        trust="shared",
        **options,
    )
    start = time.process_time()
    result = simulate(plan, schema=schema, silos=silos, engine="local")
    return draw(result.sampler, rows=table.num_rows, seed=1), time.process_time() - start


def _accuracy(train: pa.Table, test: pa.Table) -> float:
    """Return the accuracy on ``test`` of a support vector machine that learnt from ``train``."""
    seen, labels = _pixels(train)
    model = SVC().fit(seen, labels)
    return float(model.score(*_pixels(test)))


def _pixels(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.stack([table[name].to_numpy() for name in PIXELS], axis=1) / 16
    return pixels, np.asarray([int(v) for v in table["label"].to_pylist()])


def _auc(train: pa.Table, test: pa.Table) -> float:
    """Return the area under the curve on ``test`` of a classifier of words and their parts."""
    labels = np.asarray(train["label"].to_pylist()) == "spam"
    if labels.all() or not labels.any():
        return 0.5
    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    model = LogisticRegression(max_iter=1000, class_weight="balanced")
    model.fit(words.fit_transform(_texts(train)), labels)
    scores = model.decision_function(words.transform(_texts(test)))
    return float(roc_auc_score(np.asarray(test["label"].to_pylist()) == "spam", scores))


def _texts(table: pa.Table) -> list[str]:
    return [text or "" for text in table["text"].to_pylist()]


def _digit_schema() -> Schema:
    """Return the digits as an image with a label, from the data set's documentation."""
    pixel = {"kind": "integer", "minimum": 0, "maximum": 16, "source": "public"}
    label = {"name": "label", "kind": "categorical", "categories": list(range(10)), "other": False}
    return parse_schema(
        {
            "name": "digits",
            "label": "label",
            "attributes": [*({"name": n, **pixel} for n in PIXELS), label | {"source": "public"}],
            "images": [{"name": "digit", "width": 8, "height": 8, "attributes": PIXELS}],
        }
    )


def _message_schema() -> Schema:
    label = {"name": "label", "kind": "categorical", "categories": ["ham", "spam"], "other": False}
    text = {"name": "text", "kind": "text", "max_bytes": MESSAGE_BYTES}
    attributes = [label | {"source": "public"}, text]
    return parse_schema({"name": "messages", "label": "label", "attributes": attributes})


def main() -> int:
    """Measure, print and write the figures; those of a part go where QUICK's go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("digits", "messages"))
    parser.add_argument("--method", choices=METHODS)
    parser.add_argument("--epsilon", type=float)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    methods = (asked.method,) if asked.method else METHODS
    epsilons = (asked.epsilon,) if asked.epsilon else EPSILONS
    parts = {"digits": digits, "messages": messages}
    if is_quick():
        parts, methods, epsilons = {"messages": messages}, ("dp-sgd",), (10.0,)
    figures = [
        figure
        for name, part in parts.items()
        if asked.only in (None, name)
        for figure in part(methods, epsilons)
    ]
    whole = asked.only is None and asked.method is None and asked.epsilon is None
    return publish("modalities", figures, directory=None if whole else QUICK_RESULTS)


if __name__ == "__main__":
    raise SystemExit(main())
