"""Rules on Adult in a federation of three silos: broken rows, and distances with and without.

Part of ``make bench-rules``. Own and shared noise, AIM at epsilon 1, through real gateways; three
runs each. Distances are over the table's columns, those that follow from others too.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from bench.support.distances import mean_distances
from bench.support.results import Figure, is_quick
from bench.support.tables import encode, load_case, vouch
from silosynth.common.codec import keeps_rules
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.planning import new_plan
from silosynth.simulations.run import simulate

EPSILON, DELTA = 1.0, 1e-6
SILOS = ("north", "south", "west")
DRAWN = 48_842
RULES = (
    "`education-num` = lookup(degrees, education, number)",
    'never relationship = "Husband" and sex = "Female"',
    'never relationship = "Wife" and sex = "Male"',
    'keep not relationship in ("Husband", "Wife") or `marital-status` in '
    '("Married-civ-spouse", "Married-AF-spouse")',
    'occupation null iff workclass null or workclass = "Never-worked"',
)


def figures(runs: int) -> list[Figure]:
    """Run the federations, and return their figures."""
    table, plain = adult()
    ruled = with_rules(plain)
    order = np.random.default_rng(1).permutation(table.num_rows)
    silos = {s: table.take(pa.array(order[i::3])) for i, s in enumerate(SILOS)}
    found = []
    for trust in ("shared",) if is_quick() else ("own", "shared"):
        far = {}
        for name, schema in (("without rules", plain), ("with rules", ruled)):
            made = [run(schema, silos, trust=trust, seed=s) for s in range(1, runs + 1)]
            real = encode(table, schema=plain)
            near = [
                mean_distances(real, encode(m, schema=plain), domain=plain.domain) for m in made
            ]
            broken = [
                sum(int((~k).sum()) for k in keeps_rules(m, schema=ruled).values()) for m in made
            ]
            far[name] = [float(n[1]) for n in near]
            without = float(np.mean(far["without rules"]))
            gated = name == "with rules" and not is_quick()
            noise = float(np.ptp(far["without rules"])) / 2
            where = f"Adult, {trust} noise, 3 silos, {name}"
            found += [
                Figure(
                    figure=f"2-way distance {where}",
                    value=float(np.mean(far[name])),
                    spread=float(np.ptp(far[name])) / 2,
                    unit="",
                    at_most=without + noise if gated else None,
                ),
                Figure(
                    figure=f"broken rules {where}",
                    value=float(np.mean(broken)),
                    unit="rows",
                    at_most=0 if name == "with rules" else None,
                ),
            ]
    return found


def two_way(real: pa.Table, made: pa.Table, *, schema: Schema) -> float:
    """Return the mean distance of all pairs of columns."""
    codes = (encode(table, schema=schema) for table in (real, made))
    return float(mean_distances(*codes, domain=schema.domain)[1])


def rows_broken(made: pa.Table, *, schema: Schema) -> int:
    """Return how many rows break a rule, once for each that they break."""
    return sum(int((~kept).sum()) for kept in keeps_rules(made, schema=schema).values())


def adult() -> tuple[pa.Table, Schema]:
    """Return Adult and its public schema."""
    case = vouch(load_case("adult", "adult.parquet"))
    kept = tuple(a for a in case.schema.attributes if a.name != "split")
    schema = case.schema.model_copy(update={"attributes": kept, "label": None})
    return case.table.select([a.name for a in kept]), schema


def with_rules(schema: Schema) -> Schema:
    """Return the schema with the rules, and the public table of degrees."""
    (degrees,) = (a for a in schema.attributes if a.name == "education")
    numbers = list(range(1, len(degrees.categories) + 1))
    columns = {"education": list(degrees.categories), "number": numbers}
    document = schema.model_dump(mode="json", exclude_defaults=True)
    document.pop("version", None)
    document["attributes"] = [
        {"kind": a.kind, **a.model_dump(mode="json", exclude_defaults=True)}
        for a in schema.attributes
    ]
    references = {"degrees": {"key": "education", "columns": columns}}
    return parse_schema({**document, "rules": list(RULES), "references": references})


def run(schema: Schema, silos: dict[str, pa.Table], *, trust: str, seed: int) -> pa.Table:
    """Return the rows that are drawn of one run."""
    plan = new_plan(
        schema,
        epsilon=EPSILON,
        delta=DELTA,
        silos=SILOS,
        method="aim",
        trust=trust,
        plan_id="p",
    )
    result = simulate(plan, schema=schema, silos=silos, engine="local")
    return draw(result.sampler, rows=DRAWN, seed=seed)
