"""Three levels on made-up tables with planted dependence: people, their visits, drugs of those.

An OMOP export made by Synthea was to be taken; this table stands in for it where none can be
fetched. ``python -m bench families-levels``.
"""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import numpy as np

from bench.families.measured import measure
from bench.support.results import Figure, publish
from silosynth.client.families.count import TableRows, make_views
from silosynth.common.forest import ForestSampler, bins_of
from silosynth.common.forest.tables import Forest
from silosynth.common.tables import TablesSchema, parse_tables
from silosynth.server.families import fit_families

PERSONS, SEEDS = 20_000, (101, 102, 103)
PLAN = "sha256:" + "0" * 64
Tables = dict[str, TableRows]
LINKS = (("people", "visits"), ("visits", "drugs"), ("people", "drugs"))


def _number(name: str, most: int) -> dict[str, Any]:
    return {"name": name, "kind": "integer", "minimum": 0, "maximum": most}


SCHEMA = parse_tables(
    {
        "person": "people",
        "source": "public",
        "tables": {
            "people": {"key": "id", "attributes": [_number("group", 3), _number("age", 7)]},
            "visits": {
                "parent": "people",
                "by": "id",
                "key": "visit",
                "children": [0, 1, 2, 3, 4, 6, 12],
                "attributes": [_number("ward", 5), _number("cost", 7)],
            },
            "drugs": {
                "parent": "visits",
                "by": "visit",
                "children": [0, 1, 2, 3, 6],
                "attributes": [_number("drug", 9), _number("dose", 4)],
            },
        },
    }
)


def planted(seed: int) -> Tables:
    """Draw people whose visits hang on their group, and drugs that hang on ward and group."""
    random = np.random.default_rng(seed)

    def given(code: np.ndarray, codes: int, share: float) -> np.ndarray:
        """Return ``code`` in that share of rows, any code in the others."""
        any_code = random.integers(0, codes, len(code))
        return np.where(random.random(len(code)) < share, code % codes, any_code)

    group = random.integers(0, 4, PERSONS)
    age = given(2 * group, 8, 0.5)
    visits = np.minimum(random.geometric(0.25 + 0.1 * group) - 1, 12)
    above = np.repeat(np.arange(PERSONS), visits)
    ward = given(group[above] + (age[above] > 3), 6, 0.6)
    cost = given(ward + 1, 8, 0.5)
    drugs = np.minimum(random.poisson(0.5 + 0.3 * ward), 6)
    below = np.repeat(np.arange(len(above)), drugs)
    drug = given(ward[below] + 2 * group[above[below]], 10, 0.7)
    dose = given(drug, 5, 0.6)
    numbers = (bins_of(SCHEMA, "visits")[visits], bins_of(SCHEMA, "drugs")[drugs])
    here = np.arange(PERSONS)
    return {
        "people": TableRows(codes=(group, age, numbers[0]), above=here, person=here),
        "visits": TableRows(codes=(ward, cost, numbers[1]), above=above, person=above),
        "drugs": TableRows(codes=(drug, dose), above=below, person=above[below]),
    }


def drawn(sampler: ForestSampler, *, seed: int) -> Tables:
    """Draw as many persons with all their rows."""
    forest = Forest(sampler=sampler, persons=PERSONS, seed=seed, block_persons=PERSONS)
    (block,) = forest.codes("drugs")
    return {
        name: TableRows(
            codes=tuple(rows.codes[a] for a in _attributes(name)),
            above=rows.above,
            person=rows.above,
        )
        for name, rows in block.items()
    }


def _attributes(name: str) -> tuple[str, ...]:
    return SCHEMA.columns[name].rows.domain.attributes


def linked(tables: Tables, upper: str, lower: str) -> list[np.ndarray]:
    """Return the joint shares of each attribute of a table with each of one below it."""
    above = tables[lower].above
    if (upper, lower) == ("people", "drugs"):
        above = tables["visits"].above[above]
    found = []
    for i, j in product(range(2), range(2)):
        sizes = (
            SCHEMA.columns[upper].rows.domain.shape[i],
            SCHEMA.columns[lower].rows.domain.shape[j],
        )
        cells = tables[upper].codes[i].astype(int)[above] * sizes[1] + tables[lower].codes[j]
        found.append(np.bincount(cells, minlength=sizes[0] * sizes[1]) / max(len(cells), 1))
    return found


def score(real: Tables, made: Tables) -> dict[str, float]:
    """Return the mean total variation distance of each link."""
    return {
        f"{upper} x {lower}": float(
            np.mean(
                [
                    np.abs(a - b).sum() / 2
                    for a, b in zip(
                        linked(real, upper, lower), linked(made, upper, lower), strict=True
                    )
                ]
            )
        )
        for upper, lower in LINKS
    }


def shuffled(real: Tables, *, seed: int) -> Tables:
    """Return the right tables with rows given to any parent that has some."""
    random, found = np.random.default_rng(seed), dict(real)
    for name in ("visits", "drugs"):
        rows = real[name]
        order = random.permutation(len(rows.above))
        found[name] = TableRows(
            codes=tuple(c[order] for c in rows.codes), above=rows.above, person=rows.person
        )
    return found


def run(schema: TablesSchema, *, epsilon: float, seed: int) -> dict[str, float]:
    """Measure, fit, draw and score once."""
    real = planted(seed)
    found = measure(schema, make_views(schema, real), epsilon=epsilon, seed=seed)
    sampler = fit_families(schema, found.answers, certificate={}, plan_digest=PLAN)
    return score(real, drawn(sampler, seed=seed))


def main() -> int:
    """Publish the links of drawn tables beside shuffled keys: half of those is the gate."""
    real = planted(SEEDS[0])
    far = score(real, shuffled(real, seed=1))
    figures = [Figure(figure=f"keys shuffled: {k}", value=v, unit="TVD") for k, v in far.items()]
    for epsilon in (1.0, 8.0):
        scores = [run(SCHEMA, epsilon=epsilon, seed=seed) for seed in SEEDS]
        figures += [
            Figure(
                figure=f"epsilon {epsilon:g}: {k}",
                value=round(float(np.mean([s[k] for s in scores])), 4),
                unit="TVD",
                peer=round(far[k], 4),
                at_most=round(far[k] / 2, 4),
            )
            for k in far
        ]
    return publish("levels", figures, room="families")


if __name__ == "__main__":
    sys.exit(main())
