"""The tables of the benchmark of values, with schemas that state the form of what is in them.

Schemas are those of the data sets, with the decimals that the public files are written with; bins
are the default.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from bench.support.tables import Case, data_directory, load_case, vouch
from silosynth.common.codec import flatten, to_numbers
from silosynth.common.schema import CategoricalAttribute, OrdinalAttribute, RealAttribute
from silosynth.common.schema.kinds.bases import BaseCoded
from silosynth.simulations.demo_insurers import demo_schema, demo_table

MOST_DECIMALS = 8
FILES = {
    "Adult": ("adult", "adult.parquet"),
    "ACS": ("nist_acs", "national2019.csv"),
    "nycflights13": ("nycflights13", "flights.parquet"),
    "diabetes130": ("diabetes130", "diabetes130.parquet"),
    "Beijing": ("beijing_air_quality", "beijing_air_quality.parquet"),
    "BRFSS": ("brfss2022", "brfss2022.parquet"),
}
LABELS = {"Adult": "income", "ACS": "OWN_RENT", "diabetes130": "readmitted"}
"""What a model is to tell; its commonest word against all others."""


def load(name: str, *, rows: int | None = None) -> Case:
    """Return a table with a schema that states the form of its values.

    Args: rows: so many of them, drawn; all without it.
    """
    if name == "RAND":
        case = Case(schema=demo_schema(), table=demo_table(), codes=np.zeros((0, 0)))
    else:
        case = vouch(load_case(*FILES[name]))
    if name == "diabetes130":
        case = replace(case, table=case.table.take(_first_stays()))
    if rows is not None and rows < case.table.num_rows:
        chosen = np.sort(np.random.default_rng(7).permutation(case.table.num_rows)[:rows])
        case = replace(case, table=case.table.take(pa.array(chosen)))
    return case if name == "RAND" else with_form(case)


def _first_stays() -> pa.Array:
    """Return the rows of four fifths of the patients, the first stay of each."""
    source = data_directory() / "diabetes130" / "diabetes130.parquet"
    keys = pyarrow.parquet.read_table(source, columns=["encounter_id", "patient_nbr"])
    order = np.lexsort((keys["encounter_id"].to_numpy(), keys["patient_nbr"].to_numpy()))
    _, first = np.unique(keys["patient_nbr"].to_numpy()[order], return_index=True)
    stays = np.sort(order[first])
    kept = np.random.default_rng(7).permutation(len(stays))[: round(len(stays) * 0.8)]
    return pa.array(stays[np.sort(kept)])


def with_form(case: Case) -> Case:
    """Return the case whose schema states what is public form.

    The decimals of reals, and where values can be missing, which dictionaries leave out.
    """
    table = without_tokens(case)
    attributes = []
    for a in case.schema.attributes:
        facts: dict[str, object] = {}
        if isinstance(a, RealAttribute):
            facts["decimals"] = _decimals(table[a.name])
        if isinstance(a, BaseCoded) and table[a.name].null_count:
            facts["missing"] = True
        attributes.append(a.model_copy(update=facts))
    schema = case.schema.model_copy(update={"attributes": tuple(attributes)})
    return Case(schema=schema, table=table, codes=case.codes)


def without_tokens(case: Case) -> pa.Table:
    """Return the table with the texts that stand for a missing value made null."""
    table = case.table
    for a in case.schema.coded:
        if isinstance(a, CategoricalAttribute | OrdinalAttribute) and a.missing_tokens:
            column = table[a.name].cast(pa.string())
            absent = pc.is_in(column, value_set=pa.array(a.missing_tokens, pa.string()))
            place = table.schema.get_field_index(a.name)
            table = table.set_column(place, a.name, pc.if_else(absent, None, column))
    return table


def _decimals(column: pa.ChunkedArray) -> int:
    """Return the digits after the point that the values of a column have at most."""
    numbers, _ = to_numbers(flatten(column))
    numbers = np.unique(numbers[np.isfinite(numbers)])
    for digits in range(MOST_DECIMALS):
        if np.array_equal(np.round(numbers, digits), numbers):
            return digits
    return MOST_DECIMALS


def public_bound(case: Case) -> int:
    """Return a bound on the rows such as a federation would publish: two digits, rounded up."""
    rows = case.table.num_rows
    unit = 10 ** max(len(str(rows)) - 2, 0)
    return -(-rows // unit) * unit
