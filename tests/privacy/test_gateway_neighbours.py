"""Two tables that differ in one person, through the real gateway: the exact law of what leaves.

The cell of a release is its count plus N_Z(0, sigma2). Over many draws the empirical law is
compared with the exact one, cell by cell, for both tables; their log ratio is bounded by what the
plan paid for. A gateway that drew 0.95 of the noise, or counted one row too many, is told apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.gateway import Dataset, Gateway
from silosynth.client.ledger import Ledger
from silosynth.client.policy import Policy
from silosynth.client.source import open_table
from silosynth.client.source.bounding import bounding
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.messages import Release, Request, decode_release, encode_request
from silosynth.common.plan import PhaseName, encode_plan, parse_plan
from silosynth.common.schema import parse_schema
from tests.support.chance import SubGaussian, SumOfSquares, agrees, counts_agree, statistical

SIGMA2 = Fraction(4)
MOST = 2
CELLS = 4096
REQUESTS = 32
VALUES = range(3 - 9, 3 + 10)
SCHEMA = parse_schema(
    {
        "name": "wide",
        "attributes": [
            {"name": "x", "kind": "integer", "minimum": 0, "maximum": CELLS - 1}
            | {"source": "public", "bins": {"kind": "width", "count": CELLS}}
        ],
    }
)


def _law(center: int) -> Mapping[int, float]:
    """Return the exact probabilities of N_Z(center, SIGMA2) where they matter."""
    support = range(center - 14, center + 15)
    weights = {x: math.exp(-((x - center) ** 2) / (2 * float(SIGMA2))) for x in support}
    total = sum(weights.values())
    return {x: w / total for x, w in weights.items()}


def _release(directory: Path, table: pa.Table, *, number: int) -> np.ndarray:
    """Return the cells of one release of a fresh silo over ``table``."""
    plan = parse_plan(
        {
            "id": f"p{number}",
            "schema_name": "wide",
            "schema_digest": SCHEMA.digest,
            "silos": ["north"],
            "privacy": {"epsilon": 100.0, "delta": 1e-6, "rows_per_person": MOST},
            "method": "independent",
            "phases": [{"name": "one-way", "marginals": 1, "cells": CELLS, "sigma2": str(SIGMA2)}],
        }
    )
    request = Request(
        plan_digest=plan.digest,
        phase=PhaseName.ONE_WAY,
        silo="north",
        queries=((("x",), "fine"),),
    )
    rows = open_table(
        table,
        schema=SCHEMA,
        person_column="who",
        bounding=bounding(b"s" * 32),
    )
    dataset = Dataset(schema=SCHEMA, rows=rows, policy=Policy(rows_per_person=MOST), bounded=True)
    path = directory / f"{number}.sqlite"
    Ledger.create(path)
    scope = Scope(kind=ScopeKind.PROJECT, name="p")
    with Ledger.open(path, caps={scope: 2**50}) as ledger:
        gateway = Gateway(silo="north", datasets={"default": dataset}, ledger=ledger)
        data = gateway.answer(plan=encode_plan(plan), request=encode_request(request))
    release = decode_release(data)
    assert isinstance(release, Release)
    return release.marginals[0]


def _draws(directory: Path, *, with_person: bool) -> np.ndarray:
    """Return draws of cells that hold 3 rows of others, and of one person MOST more or none.

    The person has a row in every cell but is counted in MOST of them; every cell holds 3 rows of
    persons of their own. So all cells but MOST at most have one law, and those MOST another.
    """
    values = np.repeat(np.arange(CELLS), 3)
    names = np.arange(len(values)) + 1
    if with_person:
        values, names = np.r_[values, np.arange(CELLS)], np.r_[names, np.zeros(CELLS, int)]
    table = pa.table({"x": values, "who": names})
    return np.concatenate([_release(directory, table, number=i) for i in range(REQUESTS)])


def _chances(center: int) -> list[float]:
    """Return the chance of each of VALUES under N_Z(center, SIGMA2), and of all others."""
    law = _law(center)
    return [*(law.get(x, 0.0) for x in VALUES), 1 - sum(law.get(x, 0.0) for x in VALUES)]


@pytest.mark.parametrize("with_person", [False, True])
@statistical(alarm=1e-9, cases=2)
def test_a_cell_has_the_exact_law_with_and_without_a_person(
    tmp_path: Path, with_person: bool
) -> None:
    draws = _draws(tmp_path, with_person=with_person)
    seen = Counter(draws.tolist())
    counts = [seen[x] for x in VALUES]
    counts_agree(
        [*counts, len(draws) - sum(counts)],
        chances=_chances(3),
        mutants={"a row too many": _chances(4)},
        others=MOST * REQUESTS if with_person else 0,
        alarm=1e-10,
    )
    if not with_person:
        law = SumOfSquares(count=len(draws), sigma2=float(SIGMA2))
        less = {"0.95 of the variance": replace(law, sigma2=0.95 * law.sigma2)}
        agrees(int(((draws - 3) ** 2).sum()), law=law, mutants=less, alarm=1e-10)


@statistical(alarm=1e-10)
def test_one_person_moves_the_law_by_what_was_paid(tmp_path: Path) -> None:
    """Neighbouring laws of one cell: Rényi divergence of every order is alpha x rho of a cell."""
    for shift in range(1, MOST + 1):
        one, other = _law(0), _law(shift)
        for alpha in (2, 8):
            sums = sum(p**alpha * other[x] ** (1 - alpha) for x, p in one.items() if x in other)
            divergence = math.log(sums) / (alpha - 1)
            rho = Fraction(MOST**2) / (2 * SIGMA2)
            assert divergence <= alpha * float(rho) * (1 + 1e-9)
    with_person = _draws(tmp_path, with_person=True).reshape(REQUESTS, CELLS)
    excess = int(with_person.sum()) - 3 * CELLS * REQUESTS
    law = SubGaussian(mean=MOST * REQUESTS, variance=float(SIGMA2) * CELLS * REQUESTS)
    boundless = {"a person without a bound": replace(law, mean=CELLS * REQUESTS)}
    agrees(excess, law=law, mutants=boundless, alarm=1e-10)
