"""Tables of two epochs: real ones, and one whose drift is planted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc

from bench.support.pooled import coded_schema
from bench.support.tables import encode, load_case
from silosynth.common.domain import Domain
from silosynth.common.schema import Schema

PLANTED = 60_000
"""People of the table whose drift is planted."""

_NAMES = ("a", "b", "c", "d", "e")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Epochs:
    """One table at two times: (rows, attributes) uint16 codes each, of ``silos`` silos.

    ``look`` is the epsilon of a look for drift; none where it would find nothing.
    """

    name: str
    schema: Schema
    before: np.ndarray
    now: np.ndarray
    silos: int
    look: float | None


def acs(*, attributes: int | None = None) -> Epochs:
    """Return 20 places in 2018 and in 2019: other people, and hardly any drift."""
    before = load_case("nist_acs", "national2018.csv", attributes=attributes)
    now = load_case("nist_acs", "national2019.csv", schema=before.schema)
    return Epochs(
        name="ACS 2018 to 2019, 20 silos",
        schema=_coded("acs", before.schema),
        before=before.codes,
        now=now.codes,
        silos=20,
        look=None,
    )


def air(before: int, now: int) -> Epochs:
    """Return a year of 12 stations' hours and the next: weather and air are others."""
    case = load_case("beijing_air_quality", "beijing_air_quality.parquet")
    schema = case.schema.model_copy(
        update={
            "attributes": tuple(a for a in case.schema.attributes if a.name != "year"),
            "label": None,
        }
    )
    first, second = (
        encode(
            case.table.filter(pc.equal(case.table["year"], year)).drop_columns(["year"]),
            schema=schema,
        )
        for year in (before, now)
    )
    return Epochs(
        name=f"Beijing air {before} to {now}, 12 silos",
        schema=_coded("air", schema),
        before=first,
        now=second,
        silos=12,
        look=0.2,
    )


def shared(epochs: Epochs) -> Epochs:
    """Return the same table with noise that silos share: one silo's in each sum."""
    return replace(epochs, name=f"{epochs.name}, shared noise", silos=1)


def planted(*, seed: int, moved: float = 0.05) -> Epochs:
    """Return a table of which ``moved`` of the people went to other cells of b and d.

    The others stay as they are, and no column's own shares move. a and c, and c and e, hang
    together.
    """
    random = np.random.default_rng(seed)
    before = people(random)
    now = before.copy()
    for at, to in ((0, 1), (1, 0)):
        there = np.flatnonzero((before[:, 1] == at) & (before[:, 3] == at))
        gone = random.permutation(there)[: round(moved / 2 * PLANTED)]
        now[gone, 3] = to
    return Epochs(
        name="planted drift, 2 silos",
        schema=planted_schema(),
        before=before,
        now=now,
        silos=2,
        look=0.2,
    )


def planted_schema() -> Schema:
    """Return five columns of four categories."""
    domain = Domain(attributes=_NAMES, shape=(4,) * len(_NAMES))
    return coded_schema("planted", domain=domain, ordered=frozenset())


def people(random: np.random.Generator, *, moved: float = 0.0) -> np.ndarray:
    """Return (people, 5) codes: what leaves (0, 0) and (1, 1) of b and d is beside them."""
    joint = np.full((4, 4), 1 / 16)
    joint[0, 0] = joint[1, 1] = 1 / 16 - moved / 2
    joint[0, 1] = joint[1, 0] = 1 / 16 + moved / 2
    cells = random.choice(16, size=PLANTED, p=joint.ravel())
    columns = random.integers(0, 4, (len(_NAMES), PLANTED))
    columns[1], columns[3] = cells // 4, cells % 4
    for one, other in ((0, 2), (2, 4)):
        same = random.random(PLANTED) < 0.5
        columns[other] = np.where(same, columns[one], columns[other])
    return columns.T.astype(np.uint16)


def _coded(name: str, schema: Schema) -> Schema:
    """Return a schema of a table's codes, so that no run chooses bins of its own."""
    ordered = frozenset(a.name for a in schema.coded if a.rising)
    return coded_schema(name, domain=schema.domain, ordered=ordered)
