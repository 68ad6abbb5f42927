"""The method votes on messages: what a spam filter that learnt from drawn ones knows of real ones.

Messages, parts, silos and filter are those of ``bench.generators.text``, whose figures of dp-sgd
stand beside these; its texts are cut to 96 bytes, those of a whole message to 160. The same
simulator without votes stands beside it: its lines, each of a class by the classes' shares. With
``tuning`` a fifth of what is trained on is the test, and what is reported is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from bench.generators import text
from bench.generators.learn import text_auc
from bench.generators.run import dealt, say, split
from bench.support.results import Figure, is_quick
from bench.support.tables import data_directory
from silosynth.common.plan import Plan
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.driver.imagine import run_program
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate

LENGTHS = (160, 96)
EPSILONS = (1.0, 10.0)
DP_SGD = {1.0: 0.931, 10.0: 0.955}
"""Of ``bench/generators/results``, at 96 bytes in shared noise."""

SIMULATOR = Path(__file__).with_name("phone_messages.py")


def measure(
    *, runs: int, candidates: int | None = None, rounds: int | None = None, tuning: bool = False
) -> Iterator[Figure]:
    """Yield the area under the curve of each length, trust and budget, and of what has no votes."""
    chosen = {"candidates": candidates, "vote_rounds": rounds}
    settings = {name: value for name, value in chosen.items() if value is not None}
    train, test = _messages(tuning=tuning)
    silos = dealt(train, text.SILOS)
    for length in LENGTHS[:1] if is_quick() else LENGTHS:
        name = f"messages of {length} bytes"
        best, alone = _auc(train, test, length=length), _without_votes(train, test, length=length)
        yield Figure(figure=f"{name}, real ones, AUC", value=best, unit="AUC")
        yield Figure(figure=f"{name}, the simulator without votes, AUC", value=alone, unit="AUC")
        for epsilon in EPSILONS[:1] if is_quick() else EPSILONS:
            for trust in ("own", "shared"):
                found = []
                for _ in range(runs):
                    plan = _plan(length, epsilon=epsilon, trust=trust, **settings)
                    found.append(_run(plan, silos, train, test, length=length))
                    say(f"{name}, epsilon {epsilon:g}, {trust} noise: AUC {found[-1][0]:.3f}")
                for what, unit, values in zip(
                    ("AUC", "run"), ("AUC", "CPU s"), np.array(found).T, strict=True
                ):
                    yield Figure(
                        figure=f"{name}, epsilon {epsilon:g}, {trust} noise, votes, {what}",
                        value=float(values.mean()),
                        spread=float(np.ptp(values)) / 2 if runs > 1 else None,
                        unit=unit,
                        peer=DP_SGD[epsilon] if what == "AUC" else None,
                    )


def _messages(*, tuning: bool) -> tuple[pa.Table, pa.Table]:
    """Return what is trained on and the test; of what is trained on alone where that is tuned."""
    table = pyarrow.csv.read_csv(
        data_directory() / "sms_spam" / "sms_spam.csv",
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
    )
    train, test = split(table, test_share=0.1)
    return split(train, test_share=0.2) if tuning else (train, test)


def _plan(length: int, *, epsilon: float, trust: str, **settings: int) -> Plan:
    """Return a plan of votes over three silos."""
    return new_plan(
        _schema(length),
        epsilon=epsilon,
        delta=text.DELTA,
        silos=tuple(f"s{i}" for i in range(text.SILOS)),
        method="votes",
        trust=trust,
        **settings,  # type: ignore[arg-type]  # numbers of candidates and rounds
    )


def _schema(length: int) -> Schema:
    """Return messages that are spam or not, of so many bytes."""
    usual = text.schema().model_dump(mode="json")
    for attribute in usual["attributes"]:
        if attribute["name"] == "text":
            attribute["max_bytes"] = length
    return parse_schema(usual)


def _run(
    plan: Plan, silos: dict[str, pa.Table], train: pa.Table, test: pa.Table, *, length: int
) -> tuple[float, float]:
    """Return what the filter knows that learns from drawn messages, and processor seconds."""
    start = time.process_time()
    schema = _schema(length)
    result = simulate(plan, schema=schema, silos=silos, engine="local", generator=SIMULATOR)
    seconds = time.process_time() - start
    made = draw(result.sampler, rows=len(train), seed=1, threads=1)
    return _auc(made, test, length=length), seconds


def _without_votes(train: pa.Table, test: pa.Table, *, length: int) -> float:
    """Return what the filter knows that learns from the simulator's lines, of classes by chance."""
    settings = _plan(length, epsilon=1.0, trust="own").votes
    assert settings is not None
    lines = run_program(SIMULATOR, [""] * len(train), settings=settings, seconds=600.0)
    spam = np.array(train["label"].to_pylist()) == "spam"
    labels = np.where(np.random.default_rng(0).permutation(spam), "spam", "ham")
    return _auc(pa.table({"label": labels, "text": lines}), test, length=length)


def _auc(table: pa.Table, test: pa.Table, *, length: int) -> float:
    """Return the area under the curve on the test of a filter that learnt from a table."""
    return text_auc(_seen(table, length), _seen(test, length))


def _seen(table: pa.Table, length: int) -> tuple[list[str], np.ndarray]:
    """Return as much of each text as is modelled, and whether it is spam."""
    whole = ((t or "").encode() for t in table["text"].to_pylist())
    spam = np.array([label == "spam" for label in table["label"].to_pylist()], dtype=np.int64)
    return [data[:length].decode("utf-8", "ignore") for data in whole], spam
