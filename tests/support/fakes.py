"""A small federation without processes: exact counts stand in for silos, at the wire's seam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from silosynth.common.messages import (
    Receipt,
    Release,
    Request,
    count_cells,
    digest_cells,
    encode_release,
)
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.planning import new_plan

SILOS = ("north", "south", "west")


def small_schema() -> Schema:
    """Return four attributes of different kinds."""
    return parse_schema(
        {
            "name": "people",
            "attributes": [
                {"name": "age", "kind": "integer", "minimum": 0, "maximum": 19, "source": "public"},
                {
                    "name": "region",
                    "kind": "categorical",
                    "categories": ["n", "s", "w"],
                    "source": "public",
                },
                {"name": "ill", "kind": "boolean"},
                {"name": "old", "kind": "boolean", "missing": True},
            ],
        }
    )


def small_plan(**changes: object) -> Plan:
    """Return an MST plan over :func:`small_schema`."""
    arguments = {"epsilon": 5.0, "delta": 1e-6, "silos": SILOS, "plan_id": "p", "method": "mst"}
    return new_plan(small_schema(), **arguments | changes)  # type: ignore[arg-type]  # test arguments


def small_codes(seed: int, rows: int = 500) -> np.ndarray:
    """Return (rows, 4) codes in which ``old`` follows ``age`` and ``ill`` follows ``old``."""
    random = np.random.default_rng(seed)
    age = random.integers(0, 20, rows)
    old = (age >= 10).astype(np.int64)
    ill = np.where(random.random(rows) < 0.9, old, 1 - old)
    return np.stack([age, random.integers(0, 3, rows), ill, old], axis=1)


def answer_exactly(request: Request, *, plan: Plan, codes: np.ndarray, noise: int = 0) -> bytes:
    """Return the release of a silo that adds ``noise`` to every cell in place of random noise."""
    schema = small_schema()
    groupings = request.groupings()
    marginals = []
    for clique, level in request.queries:
        domain = groupings[level].domain(schema.domain)
        columns = [
            groupings[level].lookup(a, schema.domain.sizes((a,))[0])[
                codes[:, schema.domain.index(a)]
            ]
            for a in clique
        ]
        flat = np.ravel_multi_index(columns, domain.sizes(clique))
        counts = np.bincount(flat, minlength=domain.size(clique)).astype(np.int64)
        marginals.append(counts + noise)
    receipt = Receipt(
        request_id=request.id,
        request_hash=request.digest,
        plan_digest=plan.digest,
        silo=request.silo,
        cells=count_cells(request, plan=plan, counted=schema.domain),
        cells_digest=digest_cells(marginals),
        cost_units=1,
        ledger_head="head",
    )
    return encode_release(Release(receipt=receipt, marginals=tuple(marginals)))


def pooled(tables: Mapping[str, np.ndarray], silos: Sequence[str]) -> np.ndarray:
    """Return the rows of some silos together."""
    return np.concatenate([tables[s] for s in silos])
