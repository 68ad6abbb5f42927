"""Write methods.json: the plans of every method, what they ask, and what comes of fixed answers.

Run it only when what is stored or sent is meant to change; the test says what did.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from silosynth.common.certificate import certify_plan
from silosynth.common.digest import canonical_json, digest_of
from silosynth.common.generator import MaskedMlp
from silosynth.common.messages import (
    Receipt,
    Release,
    Request,
    count_cells,
    digest_cells,
    encode_release,
)
from silosynth.common.plan import Plan, encode_plan
from silosynth.common.sampler.stored.file import dump_sampler
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.coordinator import Answered, Ask, State, finish, step
from silosynth.server.coordinator.machine import start
from silosynth.server.methods import Outcome
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from tests.support.tables.texts import messages

PATH = Path(__file__).with_name("methods.json")
SILOS = ("north", "south", "west")
SMALL = MaskedMlp(width=4, layers=1, views=1)
TRAINING = TrainingChoice(architecture=SMALL, rounds=3, rate=Fraction(1, 10))
SHARED = {"trust": "shared", "colluders": 1}
WORKLOAD = (("age", "old"), ("region", "ill"), ("ill", "old"))
METHODS = (
    "independent",
    "mst",
    "aim",
    "fixed",
    "mixture",
    "copula",
    "projection",
    "votes",
    "one-shot",
    "dp-sgd",
)
CASES: dict[str, dict[str, Any]] = {
    **{name: {"method": name} for name in METHODS},
    "fixed": {"method": "fixed", "workload": WORKLOAD},
    "dp-sgd": {"method": "dp-sgd", "training": TRAINING},
    "one-shot": {"method": "one-shot", "frequencies": 64},
    "advised": {},
    "aim-of-a-workload": {"workload": WORKLOAD, "weights": (3, 1, 2), "rounds": 3},
    "aim-of-edition-1": {"method": "aim", "max_model_mb": 4},
    "aim-for-one-silo": {"method": "aim", "silos": SILOS[:1], "max_model_mb": 9},
    "one-shot-of-order-1": {"method": "one-shot", "frequencies": 32, "order": 1},
    "dp-sgd-by-habit": {"method": "dp-sgd"},
    "dp-sgd-of-public-sizes": {
        "method": "dp-sgd",
        "training": TrainingChoice(
            architecture=SMALL, rounds=2, sizes=dict.fromkeys(SILOS, 500), local_steps=3
        ),
    },
    "two-rows-a-person": {"method": "mst", "rows_per_person": 2, "on_absent": "continue"},
    "spare": {"method": "aim", **SHARED, "absent": 0, "attempts": 2, "rows_at_most": 10_000},
    "spare-by-one": {"method": "fixed", "workload": WORKLOAD, "trust": "shared", "absent": 1},
    **{
        f"{name}-shared": {
            "method": name,
            **SHARED,
            **({"workload": WORKLOAD} if name == "fixed" else {}),
            **({"training": TRAINING} if name == "dp-sgd" else {}),
        }
        for name in METHODS
    },
}


def schema() -> Schema:
    """Return four attributes of different kinds."""
    kinds = [
        {"name": "age", "kind": "integer", "minimum": 0, "maximum": 19},
        {"name": "region", "kind": "categorical", "categories": ["n", "s", "w"]},
        {"name": "ill", "kind": "boolean"},
        {"name": "old", "kind": "boolean", "missing": True},
    ]
    return parse_schema(
        {"name": "people", "attributes": [{**kind, "source": "public"} for kind in kinds]}
    )


@contextmanager
def public_seed() -> Iterator[None]:
    """Give every plan of random features the same public seed."""
    with mock.patch.object(secrets, "randbelow", return_value=7):
        yield


@contextmanager
def brief_training() -> Iterator[None]:
    """Train generators for fewer steps: what a step does shows in a few, how well it ends does not.

    How well it ends is measured in the generator's own tests.
    """
    module = importlib.import_module("silosynth.server.generator.train")
    with mock.patch.object(module, "Training", partial(module.Training, steps=100)):
        yield


@cache
def plan_of(name: str) -> Plan:
    """Return the plan of a case."""
    budget: dict[str, Any] = {"epsilon": 3.0, "delta": 1e-6, "silos": SILOS, "plan_id": "golden"}
    arguments = budget | CASES[name]
    with public_seed():
        asked = messages() if arguments.get("method") == "votes" else schema()
        plan = new_plan(asked, **arguments)
    return plan.model_copy(update={"edition": None}) if name == "aim-of-edition-1" else plan


def run(plan: Plan) -> tuple[list[Request], State]:
    """Answer every request with the same numbers each time; return them and the last state."""
    state, commands = start(plan, schema())
    asked: list[Request] = []
    while any(isinstance(c, Ask) for c in commands):
        requests = [c.request for c in commands if isinstance(c, Ask)]
        for request in requests:
            asked.append(request)
            data = _answer(request, plan=plan)
            state, commands = step(
                state, Answered(phase=request.phase, silo=request.silo, data=data)
            )
    return asked, state


def _answer(request: Request, *, plan: Plan) -> bytes:
    """Return exact counts of a made table, and small integers where no marginal is asked."""
    described = schema()
    cells = count_cells(request, plan=plan, counted=described.domain)
    random = np.random.default_rng(SILOS.index(request.silo))
    codes = _table(request.silo)
    counts = plan.phase(request.phase).bound == 1
    marginals = tuple(
        _count(request, index, codes) if counts else random.integers(-(2**20), 2**20, size)
        for index, size in enumerate(cells)
    )
    receipt = Receipt(
        request_id=request.id,
        request_hash=request.digest,
        plan_digest=plan.digest,
        silo=request.silo,
        cells=cells,
        cells_digest=digest_cells(list(marginals)),
        cost_units=1,
        ledger_head="head",
    )
    return encode_release(Release(receipt=receipt, marginals=marginals))


def _count(request: Request, index: int, codes: np.ndarray) -> np.ndarray:
    """Return (cells,) int64, one marginal of a table at its level."""
    clique, level = request.queries[index]
    fine, grouping = schema().domain, request.groupings()[level]
    domain = grouping.domain(fine)
    columns = [grouping.lookup(a, fine.sizes((a,))[0])[codes[:, fine.index(a)]] for a in clique]
    flat = np.ravel_multi_index(columns, domain.sizes(clique))
    return np.bincount(flat, minlength=domain.size(clique)).astype(np.int64)


def _table(silo: str) -> np.ndarray:
    """Return (rows, 4) codes in which ``old`` follows ``age`` and ``ill`` follows ``old``."""
    rows = np.arange(2000) + SILOS.index(silo)
    age = rows % 20
    old = (age >= 10).astype(np.int64)
    ill = np.where(rows % 10 < 9, old, 1 - old)
    return np.stack([age, rows // 7 % 3, ill, old], axis=1)


def describe(name: str) -> dict[str, Any]:
    """Return what a case stores and sends, and of its model what rounding cannot move."""
    plan = plan_of(name)
    found: dict[str, Any] = {
        "plan": digest_of(encode_plan(plan)),
        "phases": [[p.name.value, p.marginals, p.cells, str(p.sigma2)] for p in plan.phases],
        "certificate": digest_of(canonical_json(certify_plan(plan).model_dump(mode="json"))),
    }
    if plan.shares > 1 or plan.votes is not None:  # what is voted for comes from outside
        return found
    requests, state = run(plan)
    found["requests"] = [[r.id.partition("/")[2], r.digest] for r in requests]
    found["weights"] = [hashlib.sha256(r.weights).hexdigest() for r in requests if r.weights]
    with brief_training():
        found["outcome"] = _describe_outcome(finish(state))
    return found


def _describe_outcome(outcome: Outcome) -> dict[str, Any]:
    """Return what a run hands out: exact where it is data, in whole rows where it is fitted."""
    names = schema().domain.attributes
    return {
        "kind": type(outcome.sampler).__name__,
        "plan": outcome.sampler.plan_digest,
        "certificate": digest_of(canonical_json(outcome.certificate.model_dump(mode="json"))),
        "model": type(outcome.model).__name__,
        "measured": [list(m.clique) for m in outcome.measurements],
        "groups": {name: list(g) for name, g in outcome.grouping.groups.items()},
        "marginals": [
            [round(float(v), 3) for v in outcome.model.marginal((name,))] for name in names
        ],
    }


def exact() -> dict[str, str]:
    """Return the hash of every sampler's file: equal on one machine, not on all."""
    return {
        name: hashlib.sha256(dump_sampler(finish(run(plan)[1]).sampler)).hexdigest()
        for name, plan in ((name, plan_of(name)) for name in CASES)
        if plan.shares == 1 and plan.votes is None
    }


if __name__ == "__main__":
    if "--exact" in sys.argv:
        print(json.dumps(exact(), indent=1))
    else:
        lines = (f"{json.dumps(name)}: {json.dumps(describe(name))}" for name in CASES)
        PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
