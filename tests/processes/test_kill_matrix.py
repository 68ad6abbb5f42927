"""Kill -9 of every process at named points of every phase: nothing is lost, nothing spent twice.

The cells run over the gateways' sockets, with the relay's app inside the coordinator's process;
those of ``test_kills_over_flower`` run over a SuperLink, SuperNodes and relays as well. A run meets
one cell of each stage, one after the other: no step of any stage is left out, and what must hold at
a death is looked at where it happens. ``test_kill_mutants`` breaks each promise in a single cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import pytest

from silosynth.common.accounting import rho_units
from silosynth.common.errors import SiloAbsent
from silosynth.common.forest.file import load_forest
from silosynth.common.plan import HeldOut, PhaseName, dump_plan, plan_units
from silosynth.common.tables import TablesSchema, load_any_schema
from silosynth.server.federation import RunFiles
from silosynth.server.judging import Sought, plan_evaluation
from silosynth.server.page.site import make_site
from tests.processes.cells import (
    Cell,
    NoteKills,
    Run,
    in_turn,
    matrix_of_coordinators,
    matrix_of_gateways,
    once_each,
)
from tests.processes.lab import FAMILIES, TRUSTS, Lab
from tests.processes.promises import Silos, check_run
from tests.processes.reference import Reference
from tests.processes.silo_families import families_schema
from tests.processes.silo_tables import SILOS
from tests.processes.sum_promises import request_of
from tests.processes.trap import Trap
from tests.support.asgi import entered, settings, walk
from tests.support.patience import paced, patience
from tests.support.tables.canary import TABLES, holds_token

PHASES = ("one-way", "coarse", "tree")
GATEWAYS = in_turn(matrix_of_gateways(PHASES), phases=PHASES)
GATEWAYS += in_turn(
    once_each(matrix_of_gateways(PHASES, trust="shared"), phases=PHASES), phases=PHASES
)
COORDINATORS = in_turn(matrix_of_coordinators(PHASES), phases=PHASES)
COORDINATORS += in_turn(
    once_each(matrix_of_coordinators(PHASES, trust="shared"), phases=PHASES), phases=PHASES
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start three gateways, once."""
    with Lab(tmp_path_factory.mktemp("kills")) as started:
        started.start()
        yield started


@pytest.fixture(scope="module")
def reference(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """Open the twins of the laboratory's silos, once."""
    twins = Reference(lab, tmp_path_factory.mktemp("twins"))
    yield twins
    twins.close()


def _names(runs: Sequence[Sequence[Cell]]) -> list[str]:
    return [f"{cells[0].trust} noise, {', '.join(map(_name, cells))}" for cells in runs]


def _name(cell: Cell) -> str:
    return f"{cell.victim} at {cell.label} {cell.nth}"


@pytest.mark.parametrize("place", range(len(GATEWAYS)), ids=_names(GATEWAYS))
def test_gateways_that_are_killed_change_nothing(
    place: int, lab: Lab, reference: Reference, note_kills: NoteKills
) -> None:
    note_kills(Run(lab, GATEWAYS[place], name=f"g{place}").survive(reference))


@pytest.mark.parametrize("place", range(len(COORDINATORS)), ids=_names(COORDINATORS))
def test_a_coordinator_that_is_killed_is_resumed_to_the_same_end(
    place: int, lab: Lab, reference: Reference, note_kills: NoteKills
) -> None:
    note_kills(Run(lab, COORDINATORS[place], name=f"c{place}").survive(reference))


OF_SEVERAL = (
    Cell(victim="gateway-north", label="lengths:after-charge", method=FAMILIES),
    Cell(victim="coordinator", label="persons:after-record", nth=2, method=FAMILIES),
    Cell(victim="gateway-south", label="first:counted", method=FAMILIES),
    Cell(victim="gateway-west", label="later:before-store", method=FAMILIES),
    Cell(victim="gateway-north", label="deliver:verified", method=FAMILIES),
)


def test_a_run_over_several_tables_survives_the_death_of_each_part(
    lab: Lab, reference: Reference, note_kills: NoteKills
) -> None:
    note_kills(Run(lab, OF_SEVERAL, name="several").survive(reference))
    assert isinstance(load_any_schema(lab.run_directory("several") / "schema.yaml"), TablesSchema)
    sampler = load_forest(lab.run_directory("several") / "result.sampler")
    assert sampler.schema.digest == families_schema().digest
    for silo in SILOS:
        assert holds_token([], lab.directory / silo) == []
    assert holds_token([], lab.home) == []


TRAINING = (Cell(victim="gateway-west", label="one-way:before-store", method="independent"),)
ASKING = (
    Cell(victim="gateway-north", label="evaluation:after-charge", method="evaluate"),
    Cell(victim="coordinator", label="evaluation:after-record", nth=2, method="evaluate"),
)


def test_people_held_out_are_asked_once_whoever_dies(
    lab: Lab, reference: Reference, note_kills: NoteKills
) -> None:
    """Both plans charge the parts of one split, over the death of who asks and who answers."""
    trained = lab.new_plan("held", method="independent", held_out=HeldOut(share=Fraction(1, 4)))
    note_kills(Run(lab, TRAINING, name="held", plan=trained).survive(reference))
    sampler = RunFiles(path=lab.run_directory("held")).sampler.read_bytes()
    sought = Sought(targets=["ill"], plan_id="judged", seed=7)
    plan, _ = plan_evaluation(trained, sampler, sought=sought)
    (lab.directory / "judged.yaml").write_text(dump_plan(plan))
    note_kills(Run(lab, ASKING, name="judged", plan=plan).survive(reference))
    for silo in SILOS:
        parts = set(lab.audit(silo)[1].account.parts.values())
        assert parts == {(plan_units(trained), plan_units(plan))}
    assert holds_token([], lab.home) == []


@pytest.mark.parametrize("trust", TRUSTS)
def test_a_silo_that_stays_dead_is_named_and_the_run_resumes_once_it_is_back(
    trust: str, lab: Lab, reference: Reference
) -> None:
    before = Silos.of(lab)
    name = f"absent-{trust}"
    plan = lab.new_plan(
        name, method="independent", trust=trust, deadline_seconds=math.ceil(paced(3))
    )
    trap = Trap(witness="gateway-west", label="one-way:noised", plan_digest=plan.digest)
    trap.set(lab.directory / "traps", name=name)
    assert lab.start_run(name).wait(timeout=patience(60)) == SiloAbsent.exit_code
    error = lab.outcome(name)["error"]
    assert error["code"] == SiloAbsent.code
    assert "west" in error["message"]
    lab.start_gateway("west")
    resumed = lab.start_run(name, resume=lab.run_directory(name).name)
    assert resumed.wait(timeout=patience(60)) == 0
    done = lab.outcome(name)["data"]
    check_run(lab, plan, done, before=before, expected=reference.sampler(plan))


def test_a_silo_lost_after_the_set_is_signed_burns_the_sum_and_the_next_is_a_new_charge(
    lab: Lab, reference: Reference
) -> None:
    plan = lab.new_plan(
        "burned",
        method="independent",
        trust="shared",
        absent=1,
        attempts=2,
        deadline_seconds=math.ceil(paced(4)),
    )
    trap = Trap(witness="gateway-west", label="one-way:noised", plan_digest=plan.digest)
    trap.set(lab.directory / "traps", name="burned")
    assert lab.start_run("burned").wait(timeout=patience(60)) == 0, lab.outcome("burned")
    done = lab.outcome("burned")["data"]
    assert done["silos"] == ["north", "south"]
    assert "is burned; asking again charges" in lab.log("coordinator-burned")
    lab.start_gateway("west")
    for silo in SILOS:
        account = lab.audit(silo)[1].account
        charged = [
            request_of(plan, phase=PhaseName.ONE_WAY, silo=silo, session=session)
            for session in ((1,) if silo == "west" else (1, 2))
        ]
        digest = plan.digest.removeprefix("sha256:")[:32]
        assert [c for c in account.charges if c.startswith(f"{digest}/one-way.")] == charged
        assert sum(c.startswith(f"{digest}/values.") for c in account.charges) == 1
        assert [c in account.releases for c in charged] == [silo != "west"] * len(charged)
        spent = sum(account.charges[c].cost_units for c in charged)
        once = plan.phase_cost(plan.phase("one-way")).rho / plan.attempts
        assert spent == rho_units(once) * len(charged)
    sampler = RunFiles(path=lab.run_directory("burned")).sampler.read_bytes()
    assert sampler == reference.sampler(plan, lost=("west", PhaseName.ONE_WAY))


def test_no_value_of_the_tables_is_in_anything_that_the_dead_left(lab: Lab) -> None:
    assert holds_token([], lab.directory) == []
    tables = sorted(f"{silo}/{name}" for silo in SILOS for name in TABLES)
    assert holds_token([], lab.directory, tables=()) == tables


def test_no_value_of_the_tables_is_on_any_page_of_the_coordinator(lab: Lab) -> None:
    known = settings("silosynth.server.page.site", arguments={"home": str(lab.home)})
    pages = walk(entered(make_site(known), known))
    runs = {f"/runs/{path.name}" for path in (lab.home / "runs").iterdir()}
    assert runs <= set(pages)
    for part in ("sampler", "certificate", "rows"):
        assert any(path.endswith(f"/{part}") for path in pages), part
    assert holds_token(list(pages.values()), lab.home) == []
