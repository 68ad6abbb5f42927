"""Three levels: made-up people with visits and drugs of those, and patients, stays and drugs.

The second are the drugs that diabetes130 has a column of each stay for, one row a drug that was
given. An OMOP export is the third, where one is at hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.families.cases import PATIENT, described
from bench.families.kept import run_kept
from bench.families.measured import measure
from bench.families.omop import export
from bench.support.results import Figure, is_quick, publish
from bench.support.tables import data_directory
from silosynth.client.families.count import TableRows, make_views
from silosynth.client.families.opened import own_columns
from silosynth.common.codec import Codec
from silosynth.common.families import link_names
from silosynth.common.forest import ForestSampler, bins_of
from silosynth.common.forest.tables import Forest
from silosynth.common.tables import TablesSchema, ancestors, number_name, parse_tables
from silosynth.server.families import fit_families

PERSONS, QUICK_PERSONS, SEEDS = 20_000, 2_000, (211, 212, 213)
MADE_UP, STAYS, OMOP = "levels", "levels-diabetes130", "levels-omop"
PLAN = "sha256:" + "0" * 64
Tables = dict[str, TableRows]


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
STAY = (
    *("admission_type_id", "time_in_hospital", "num_medications", "number_inpatient"),
    *("number_diagnoses", "A1Cresult", "change", "readmitted"),
)
DRUGS = (
    *("metformin", "repaglinide", "nateglinide", "chlorpropamide", "glimepiride", "glipizide"),
    *("glyburide", "tolbutamide", "pioglitazone", "rosiglitazone", "acarbose", "insulin"),
)
GIVEN = ("Steady", "Up", "Down")


def planted(seed: int, persons: int) -> tuple[TablesSchema, Tables]:
    """Draw people whose visits hang on their group, and drugs that hang on ward and group."""
    random = np.random.default_rng(seed)

    def given(code: np.ndarray, codes: int, share: float) -> np.ndarray:
        """Return ``code`` in that share of rows, any code in the others."""
        any_code = random.integers(0, codes, len(code))
        return np.where(random.random(len(code)) < share, code % codes, any_code)

    group = random.integers(0, 4, persons)
    age = given(2 * group, 8, 0.5)
    visits = np.minimum(random.geometric(0.25 + 0.1 * group) - 1, 12)
    above = np.repeat(np.arange(persons), visits)
    ward = given(group[above] + (age[above] > 3), 6, 0.6)
    cost = given(ward + 1, 8, 0.5)
    drugs = np.minimum(random.poisson(0.5 + 0.3 * ward), 6)
    below = np.repeat(np.arange(len(above)), drugs)
    drug = given(ward[below] + 2 * group[above[below]], 10, 0.7)
    dose = given(drug, 5, 0.6)
    numbers = (bins_of(SCHEMA, "visits")[visits], bins_of(SCHEMA, "drugs")[drugs])
    here = np.arange(persons)
    return SCHEMA, {
        "people": TableRows(codes=(group, age, numbers[0]), above=here, person=here),
        "visits": TableRows(codes=(ward, cost, numbers[1]), above=above, person=above),
        "drugs": TableRows(codes=(drug, dose), above=below, person=above[below]),
    }


def stays(seed: int, persons: int) -> tuple[TablesSchema, Tables]:
    """Return patients, their stays, and a row for each drug of twelve that was given in one."""
    del seed, persons
    table = pd.read_parquet(data_directory() / "diabetes130" / "diabetes130.parquet")
    table = table.sort_values(["patient_nbr", "encounter_id"], ignore_index=True)
    first = table.drop_duplicates("patient_nbr", ignore_index=True)
    above = first["patient_nbr"].searchsorted(table["patient_nbr"])
    doses = table[list(DRUGS)].isin(GIVEN).to_numpy()
    below, which = np.nonzero(doses)
    drugs = pd.DataFrame(
        {"drug": np.array(DRUGS)[which], "dose": table[list(DRUGS)].to_numpy()[below, which]}
    )
    schema = _stays_schema()
    frames = {"patients": (first, np.arange(len(first))), "stays": (table, above)}
    frames["drugs"] = (drugs, below)
    owner = {"patients": np.arange(len(first)), "stays": above, "drugs": above[below]}
    children = {"patients": ("stays", above), "stays": ("drugs", below)}
    found = {}
    for name, (frame, up) in frames.items():
        own = own_columns(schema, name)
        told = pa.Table.from_pandas(frame[[a.name for a in own.attributes]], preserve_index=False)
        codes = dict(zip(own.domain.attributes, Codec(own).encode(told).codes, strict=True))
        if name in children:
            child, of = children[name]
            numbers = np.bincount(of, minlength=len(frame))
            codes[number_name(child)] = bins_of(schema, child)[numbers]
        domain = schema.columns[name].rows.domain
        found[name] = TableRows(
            codes=tuple(codes[a] for a in domain.attributes), above=up, person=owner[name]
        )
    return schema, found


def _stays_schema() -> TablesSchema:
    file = "diabetes130.parquet"
    words = {"drug": DRUGS, "dose": GIVEN}
    return parse_tables(
        {
            "person": "patients",
            "source": "public",
            "tables": {
                "patients": {
                    "key": "patient_nbr",
                    "attributes": described("diabetes130", file, PATIENT),
                },
                "stays": {
                    "parent": "patients",
                    "by": "patient_nbr",
                    "key": "encounter_id",
                    "children": [0, 1, 2, 3, 4, 6, 10, 40],
                    "attributes": described("diabetes130", file, STAY),
                },
                "drugs": {
                    "parent": "stays",
                    "by": "encounter_id",
                    "children": [0, 1, 2, 3, 4, 5, 6, 12],
                    "attributes": [
                        {"name": n, "kind": "categorical", "categories": list(w), "other": False}
                        for n, w in words.items()
                    ],
                },
            },
        }
    )


MAKERS: Mapping[str, Callable[[int, int], tuple[TablesSchema, Tables]]] = {
    MADE_UP: planted,
    STAYS: stays,
    OMOP: export,
}


def drawn(sampler: ForestSampler, *, persons: int, seed: int) -> Tables:
    """Draw so many persons with all their rows."""
    schema = sampler.schema
    forest = Forest(sampler=sampler, persons=persons, seed=seed, block_persons=persons)
    (block,) = forest.codes(schema.downward[-1])
    return {
        name: TableRows(
            codes=tuple(rows.codes[a] for a in schema.columns[name].rows.domain.attributes),
            above=rows.above,
            person=rows.above,
        )
        for name, rows in block.items()
    }


def links(schema: TablesSchema) -> Iterator[tuple[str, str]]:
    """Yield each table with each below it, the nearest first."""
    for lower in schema.downward[1:]:
        yield from ((upper, lower) for upper in ancestors(schema.tables, lower))


def linked(schema: TablesSchema, tables: Tables, upper: str, lower: str) -> list[np.ndarray]:
    """Return the joint shares of each attribute of a table with each of one below it."""
    path = [lower, *ancestors(schema.tables, lower)]
    at = tables[lower].above
    for table, _ in pairwise(path[1 : path.index(upper) + 1]):
        at = tables[table].above[at]
    found = []
    for i, j in product(_own(schema, upper), _own(schema, lower)):
        shapes = [schema.columns[t].rows.domain.shape for t in (upper, lower)]
        sizes = (shapes[0][i], shapes[1][j])
        cells = tables[upper].codes[i].astype(int)[at] * sizes[1] + tables[lower].codes[j]
        found.append(np.bincount(cells, minlength=sizes[0] * sizes[1]) / max(len(cells), 1))
    return found


def _own(schema: TablesSchema, name: str) -> list[int]:
    numbers = {number_name(below) for below in schema.below(name)}
    attributes = schema.columns[name].rows.domain.attributes
    return [i for i, a in enumerate(attributes) if a not in numbers]


def score(schema: TablesSchema, real: Tables, made: Tables) -> dict[str, float]:
    """Return the mean total variation distance of each link."""
    found = {}
    for upper, lower in links(schema):
        pairs = zip(
            linked(schema, real, upper, lower), linked(schema, made, upper, lower), strict=True
        )
        found[f"{upper} x {lower}"] = float(np.mean([np.abs(a - b).sum() / 2 for a, b in pairs]))
    return found


def shuffled(schema: TablesSchema, real: Tables, *, seed: int) -> Tables:
    """Return the right tables with rows given to any parent that has some."""
    random, found = np.random.default_rng(seed), dict(real)
    for name in schema.downward[1:]:
        rows = real[name]
        order = random.permutation(len(rows.above))
        found[name] = TableRows(
            codes=tuple(c[order] for c in rows.codes), above=rows.above, person=rows.person
        )
    return found


def bootstrap(schema: TablesSchema, real: Tables, *, seed: int) -> Tables:
    """Return as many persons drawn with replacement, with all their rows."""
    count = len(real[schema.person].above)
    rows = np.random.default_rng(seed).integers(0, count, count)
    found = {schema.person: _taken(real[schema.person], rows, np.arange(count))}
    chosen = {schema.person: rows}
    for name in schema.downward[1:]:
        parent = str(schema.tables[name].parent)
        order = np.argsort(real[name].above, kind="stable")
        numbers = np.bincount(real[name].above, minlength=len(real[parent].above))
        starts, each = np.cumsum(numbers) - numbers, numbers[chosen[parent]]
        above = np.repeat(np.arange(len(each)), each)
        inside = np.arange(len(above)) - np.repeat(np.cumsum(each) - each, each)
        chosen[name] = order[starts[chosen[parent]][above] + inside]
        found[name] = _taken(real[name], chosen[name], above)
    return found


def _taken(rows: TableRows, at: np.ndarray, above: np.ndarray) -> TableRows:
    return TableRows(codes=tuple(c[at] for c in rows.codes), above=above, person=above)


def run(name: str, *, epsilon: float, seed: int, persons: int, flat: bool) -> dict[str, float]:
    """Measure, fit, draw and score once."""
    schema, real = MAKERS[name](seed, persons)
    left_out = link_names(schema) if flat else ()
    views = make_views(schema, real)
    found = measure(schema, views, epsilon=epsilon, seed=seed, left_out=left_out)
    sampler = fit_families(
        schema, found.answers, certificate={}, plan_digest=PLAN, left_out=left_out
    )
    count = len(real[schema.person].above)
    return score(schema, real, drawn(sampler, persons=count, seed=seed))


def levels(name: str) -> int:
    """Publish the links of drawn tables beside shuffled keys: half of those is the gate."""
    quick = is_quick()
    persons, seeds = (QUICK_PERSONS, SEEDS[:1]) if quick else (PERSONS, SEEDS)
    schema, real = MAKERS[name](seeds[0], persons)
    far = score(schema, real, shuffled(schema, real, seed=1))
    near = score(schema, real, bootstrap(schema, real, seed=1))
    figures = [_figure(f"keys shuffled: {k}", [v]) for k, v in far.items()]
    figures += [_figure(f"bootstrap: {k}", [v]) for k, v in near.items()]
    for epsilon, flat in ((8.0, False), (1.0, False), (8.0, True))[: 1 if quick else None]:
        told = [
            run_kept("bench.families.levels", [name, epsilon, seed, persons, flat])
            for seed in seeds
        ]
        label = f"epsilon {epsilon:g}" + (", links left out" if flat else "")
        for link, shuffling in far.items():
            gate = None if quick or flat else round(shuffling / 2, 4)
            values = [t[link] for t in told]
            figures.append(_figure(f"{label}: {link}", values, peer=shuffling, gate=gate))
    return publish(name, figures, room="families")


def _figure(
    name: str, values: list[float], *, peer: float | None = None, gate: float | None = None
) -> Figure:
    return Figure(
        figure=name,
        value=round(float(np.mean(values)), 4),
        spread=round((max(values) - min(values)) / 2, 4) if len(values) > 1 else None,
        unit="TVD",
        peer=None if peer is None else round(peer, 4),
        at_most=gate,
    )


if __name__ == "__main__":
    case, epsilon, seed, persons, flat = json.loads(sys.argv[1])
    print(json.dumps(run(case, epsilon=epsilon, seed=seed, persons=persons, flat=flat)))
