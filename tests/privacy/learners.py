"""One silo that learns from rows of one attribute, through its real gateway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa

from silosynth.client.gateway import Dataset, Gateway
from silosynth.client.ledger import Ledger
from silosynth.client.noise import BitSource
from silosynth.client.policy import Policy
from silosynth.client.source import open_table
from silosynth.client.source.bounding import bounding
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.codec import layout_of
from silosynth.common.generator import MaskedMlp, initial_vector
from silosynth.common.messages import Refusal, Release, Request, decode_release, encode_request
from silosynth.common.plan import (
    BOUND,
    PhaseName,
    Plan,
    TrainingStep,
    TrustMode,
    encode_plan,
    encode_weights,
    parse_plan,
)
from silosynth.common.schema import Schema, parse_schema

PROJECT = Scope(kind=ScopeKind.PROJECT, name="p")


def wide_schema(codes: int) -> Schema:
    """Return a schema of one attribute with so many bins, none for missing values."""
    attribute = {"name": "x", "kind": "integer", "minimum": 0, "maximum": codes - 1}
    bins = {"kind": "width", "count": codes}
    return parse_schema(
        {"name": "wide", "attributes": [attribute | {"source": "public", "bins": bins}]}
    )


def training_plan(
    schema: Schema,
    *,
    noise: Fraction,
    rate: Fraction,
    rounds: int = 1,
    local_steps: int = 1,
    width: int = 4,
    rows_per_person: int = 1,
    clip: float = 1.0,
) -> Plan:
    """Return a plan for the silo ``north`` with a noise multiplier."""
    architecture = MaskedMlp(width=width, layers=1, views=1)
    cells = architecture.parameters(layout_of(schema))
    phase = {
        "name": "training",
        "marginals": rounds * local_steps,
        "cells": cells,
        "sigma2": str((noise * BOUND * rows_per_person) ** 2 + 4),
        "bound": BOUND,
        "rate": str(rate),
    }
    training = {
        "architecture": architecture.model_dump(),
        "rounds": rounds,
        "local_steps": local_steps,
        "clip": clip,
        "optimiser": "fedavg",
        "learning_rate": 1.0,
        "local_learning_rate": 1e-9,
        "sizes": {"north": 1000},
    }
    privacy = {"epsilon": 100.0, "delta": 1e-5, "rows_per_person": rows_per_person}
    return parse_plan(
        {
            "id": "p",
            "schema_name": schema.name,
            "schema_digest": schema.digest,
            "silos": ["north"],
            "privacy": privacy,
            "method": "dp-sgd",
            "training": training,
            "phases": [phase],
        }
    )


def shared_plan(plan: Plan) -> Plan:
    """Return the same plan with shared noise, of ``north`` and ``south`` together."""
    data = plan.model_dump(mode="json")
    silos = ["north", "south"]
    data |= {"silos": silos, "trust": "shared"}
    data["training"] |= {
        "optimiser": "sgd",
        "local_learning_rate": None,
        "sizes": dict.fromkeys(silos, 1000),
    }
    return parse_plan(data)


class ConstantBits:
    """Give every row the same masks and orders, whoever stands beside it."""

    def words(self, count: int) -> np.ndarray:
        """Return (count,) uint64, all the same."""
        return np.full(count, 0x6FFFFFFF_6FFFFFFF, dtype=np.uint64)


def first_weights(plan: Plan, schema: Schema, *, seed: int = 1) -> np.ndarray:
    """Return the plan's first weights."""
    assert plan.training is not None
    return initial_vector(plan.training.architecture, layout_of(schema), seed=seed)


@contextmanager
def open_learner(
    directory: Path,
    plan: Plan,
    schema: Schema,
    *,
    values: Sequence[int],
    persons: Sequence[int] | None = None,
    bits: BitSource | None = None,
) -> Iterator[Gateway]:
    """Open a gateway over a column of values, with the person of each where they are named."""
    policy = Policy(rows_per_person=plan.privacy.rows_per_person)
    table = pa.table({"x": pa.array(values, pa.int64())})
    if persons is None:
        rows = open_table(table, schema=schema)
    else:
        table = table.append_column("who", pa.array(persons, pa.int64()))
        rows = open_table(table, schema=schema, person_column="who", bounding=bounding(b"s" * 32))
    dataset = Dataset(schema=schema, rows=rows, policy=policy, bounded=persons is not None)
    path = directory / "ledger.sqlite"
    if not path.exists():
        Ledger.create(path)
    with Ledger.open(path, caps={PROJECT: 2**60}) as ledger:
        yield Gateway(silo="north", datasets={"default": dataset}, ledger=ledger, bits=bits)


def round_request(plan: Plan, weights: np.ndarray, *, number: int = 0) -> Request:
    """Return the request of a round."""
    data = encode_weights(weights)
    batch = None if plan.trust is TrustMode.SHARED else 1000
    step = TrainingStep(round=number, weights=data.digest, batch=batch)
    request = Request(
        plan_digest=plan.digest, phase=PhaseName.TRAINING, silo="north", training=step
    )
    return request.with_weights(data)


def ask(gateway: Gateway, plan: Plan, weights: np.ndarray, *, number: int = 0) -> Release | Refusal:
    """Return what the gateway answers to a round."""
    request = round_request(plan, weights, number=number)
    return decode_release(gateway.answer(plan=encode_plan(plan), request=encode_request(request)))


def learnt(gateway: Gateway, plan: Plan, weights: np.ndarray, *, number: int = 0) -> np.ndarray:
    """Return (parameters,) int64, the noised sum of a round."""
    answer = ask(gateway, plan, weights, number=number)
    assert isinstance(answer, Release), answer
    return answer.marginals[0]
