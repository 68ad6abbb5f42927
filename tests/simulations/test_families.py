"""A run over several tables, from folders to a sampler: gateways, ledgers, sums and the fit."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.certificate import certify_plan
from silosynth.common.errors import InvalidPlan, InvalidTable, OutputExists
from silosynth.common.forest.file import load_forest
from silosynth.common.forest.tables import draw_forest
from silosynth.common.plan import Own, Plan, Trust, check_budget, plan_units
from silosynth.common.plan.trust import Shared
from silosynth.server.planning.tables import new_tables_plan
from silosynth.simulations.families import simulate_tables
from tests.support.tables.families import SCHEMA, clinic

SILOS = ("east", "north", "west")
TRUSTS = pytest.mark.parametrize("trust", [Own(), Shared(colluders=1)], ids=["own", "shared"])


def folders(directory: Path, *, persons: int = 300) -> dict[str, Path]:
    found = {}
    for number, silo in enumerate(SILOS):
        found[silo] = directory / silo
        found[silo].mkdir(parents=True)
        for name, table in clinic(persons, first=1 + persons * number).items():
            pq.write_table(table, found[silo] / f"{name}.parquet")
    return found


def plan_of(trust: Trust, *, epsilon: float = 20.0) -> Plan:
    return new_tables_plan(
        SCHEMA, epsilon=epsilon, delta=1e-6, silos=SILOS, trust=trust, plan_id="clinic"
    )


@TRUSTS
@pytest.mark.usefixtures("fixed_bits")
def test_a_run_ends_in_a_sampler_of_families(tmp_path: Path, trust: Trust) -> None:
    plan, told = plan_of(trust), list[str]()
    silos = folders(tmp_path / "silos")
    out = tmp_path / "run"
    sampler = simulate_tables(plan, schema=SCHEMA, silos=silos, directory=out, tell=told.append)
    rows = draw_forest(load_forest(out / "result.sampler"), persons=400, seed=1, folder=out / "s")
    assert rows["people"] == 400
    visits = pq.read_table(out / "s" / "visits.parquet").to_pydict()
    people = pq.read_table(out / "s" / "people.parquet").to_pydict()
    assert set(visits["id"]) <= set(people["id"])
    assert len(set(visits["visit"])) == rows["visits"]
    assert 400 < rows["visits"] < 800, "a person has 1.5 visits"
    assert any("3 rows belong to nobody" in line for line in told)
    scope = Scope(kind=ScopeKind.PROJECT, name=plan.project)
    for silo in SILOS:
        ledger = out / "silos" / silo / "ledger.sqlite"
        with Ledger.open(ledger, caps={scope: plan_units(plan)}) as opened:
            assert opened.spent(scope) == plan_units(plan)
    again = simulate_tables(plan, schema=SCHEMA, silos=silos, directory=out)
    assert again.describe() == sampler.describe()


@TRUSTS
def test_a_plan_costs_what_it_states_at_most(trust: Trust) -> None:
    for epsilon in (0.5, 8.0):
        plan = plan_of(trust, epsilon=epsilon)
        assert 0.9 * epsilon < check_budget(plan) <= epsilon
        said = certify_plan(plan)
        assert "all rows below it" in said.neighbours
        assert said.epsilon <= epsilon


def test_a_run_of_another_plan_is_kept(tmp_path: Path) -> None:
    silos = folders(tmp_path / "silos", persons=8)
    out = tmp_path / "run"
    simulate_tables(plan_of(Own()), schema=SCHEMA, silos=silos, directory=out)
    with pytest.raises(OutputExists, match="another plan"):
        simulate_tables(plan_of(Own(), epsilon=3), schema=SCHEMA, silos=silos, directory=out)


def test_a_folder_without_a_table_is_refused_before_anything_is_spent(tmp_path: Path) -> None:
    silos = folders(tmp_path / "silos", persons=8)
    (silos["west"] / "visits.parquet").unlink()
    with pytest.raises(InvalidTable, match="no file of table 'visits'"):
        simulate_tables(plan_of(Own()), schema=SCHEMA, silos=silos, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_schema_that_nobody_reviewed_is_refused(tmp_path: Path) -> None:
    drafted = SCHEMA.model_copy(update={"unreviewed": ("visits belongs to people by id",)})
    with pytest.raises(InvalidPlan, match="unreviewed"):
        new_tables_plan(drafted, epsilon=1, delta=1e-6, silos=SILOS, trust=Own())
