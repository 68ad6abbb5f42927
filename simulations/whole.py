"""A whole run in one process with nothing kept but what left the silos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from silosynth.client.ledger import Ledger
from silosynth.client.noise import BitSource
from silosynth.common.messages import Request
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema, dump_schema
from silosynth.server.driver import Journal
from silosynth.simulations.audit import Ran
from silosynth.simulations.local import run_local
from silosynth.simulations.silos import SiloDirectory, make_silos


def run_whole(
    plan: Plan,
    schema: Schema,
    *,
    tables: Mapping[str, pa.Table],
    person_column: str,
    directory: Path,
    bits: Mapping[str, BitSource],
    asked: Callable[[Request], None],
) -> Ran:
    """Run a plan on tables in a fresh directory; return releases and what ledgers were charged."""
    path = directory / "schema.yaml"
    path.write_text(dump_schema(schema))
    silos = directory / "silos"
    places = make_silos(
        silos, plan=plan, schema_path=path, tables=tables, person_column=person_column
    )
    with Journal(directory, plan_digest=plan.digest) as journal:
        state = run_local(plan, schema, silos=places, journal=journal, bits=bits, asked=asked)
    return Ran(releases=state.releases, units=max(map(_charged, places)))


def _charged(silo: SiloDirectory) -> int:
    """Return the units that a silo's ledger was charged."""
    with Ledger.open(silo.ledger, caps={}) as ledger:
        return sum(charge.cost_units for charge in ledger.charges())
