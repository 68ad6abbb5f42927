"""A look for drift through the gateways: who pays, for how much, and what a silo refuses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.ledger import Ledger
from silosynth.common.certificate import certify_plan
from silosynth.common.errors import InvalidArgument, InvalidPlan, RunFailed
from silosynth.common.messages import Refusal, Release, Request, decode_release, encode_request
from silosynth.common.plan import PhaseName, Plan, encode_plan, parse_plan, plan_units
from silosynth.common.sampler import (
    Sampler,
    dump_sampler,
    load_sampler,
    parse_sampler,
    probability_of,
)
from silosynth.common.schema import parse_schema
from silosynth.server.coordinator import State, draw_replicates, finish, localise
from silosynth.server.drift import find_drift, plan_drift, plan_renewal
from silosynth.server.driver import Journal, keep_last, read_state
from silosynth.server.federation import require_trained
from silosynth.server.judging import Judgement, write_judgement
from silosynth.server.planning import new_plan
from silosynth.simulations import Engine, simulate
from silosynth.simulations.local import run_local
from silosynth.simulations.silos import SiloDirectory, open_gateway

NAMES = ("a", "b", "c")
SILOS = ("north", "south", "west")
SCHEMA = parse_schema(
    {
        "name": "visits",
        "attributes": [
            {"name": n, "kind": "categorical", "categories": ["x", "y"], "other": False}
            | {"source": "public"}
            for n in NAMES
        ],
    }
)
PEOPLE = 4_000


def tables(*, month: int, moved: float = 0.0, tied: bool = True) -> dict[str, pa.Table]:
    """Return a month's rows of every silo; ``moved`` of all agree in a and c who did not before.

    In a and b nine of ten agree where they are ``tied``.
    """
    random = np.random.default_rng(month)
    found = {}
    for name in SILOS:
        a, b = random.integers(0, 2, (2, PEOPLE))
        b = np.where(random.random(PEOPLE) < 0.8, a, b) if tied else b
        c = np.where(random.random(PEOPLE) < 0.5 + moved, a, 1 - a)
        found[name] = pa.table(
            {n: [("x", "y")[v] for v in codes] for n, codes in zip(NAMES, (a, b, c), strict=True)}
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A run that made a sampler, and looks at it in later months."""

    run: Path
    trained: Plan
    first: Plan

    @property
    def sampler(self) -> bytes:
        return (self.run / "result.sampler").read_bytes()

    def silos(self) -> list[SiloDirectory]:
        return [SiloDirectory(path=self.run / "silos" / name) for name in SILOS]

    def look(self, plan: Plan, out: Path, *, month: int, moved: float = 0.0) -> Judgement:
        """Look at the sampler, which is wrong about b by now, by a month's rows."""
        out.mkdir()
        sampler = self.sampler
        with Journal(out, plan_digest=plan.digest, durable=False) as journal:
            state = run_local(
                plan,
                SCHEMA,
                silos=self.silos(),
                journal=journal,
                tables=tables(month=month, moved=moved, tied=False),
                samplers=lambda digest: sampler if digest == self.trained.digest else None,
                times=40,
            )
        return write_judgement(state, sampler, out)

    def renew(self, plan: Plan, out: Path) -> State:
        """Run a plan that renews the sampler on the rows of a later month."""
        with Journal(out, plan_digest=plan.digest, durable=False) as journal:
            return run_local(
                plan,
                SCHEMA,
                silos=self.silos(),
                journal=journal,
                tables=tables(month=4, moved=0.2, tied=False),
                times=40,
            )

    def spent(self) -> int:
        with Ledger.open(self.silos()[0].ledger, caps={}) as ledger:
            return sum(c.cost_units for c in ledger.charges())

    def answer(self, plan: Plan, *, sampler: bytes | None = None) -> Release | Refusal:
        """Ask one silo's gateway."""
        kept = self.sampler if sampler is None else sampler
        request = Request(
            plan_digest=plan.digest,
            phase=PhaseName.EVALUATION,
            silo=SILOS[0],
            queries=((SCHEMA.domain.attributes, "fine"),),
        )
        with open_gateway(self.silos()[0], samplers=lambda _: kept, least_units=10**15) as gateway:
            data = gateway.answer(plan=encode_plan(plan), request=encode_request(request))
        return decode_release(data, trusted=None)


def kept(directory: Path, trust: str) -> Kept:
    trained = new_plan(
        SCHEMA, epsilon=2, delta=1e-6, silos=SILOS, method="mst", trust=trust, plan_id="january"
    )
    run = directory / "run"
    simulate(trained, schema=SCHEMA, silos=tables(month=1), directory=run, engine=Engine.LOCAL)
    sampler = (run / "result.sampler").read_bytes()
    first, _ = plan_drift(trained, sampler, epsilon=1.0, plan_id="look-1")
    return Kept(run=run, trained=trained, first=first)


@pytest.fixture(scope="module", params=["own", "shared"])
def months(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    fixed_bits_of_a_module: None,
) -> Kept:
    return kept(tmp_path_factory.mktemp(request.param), request.param)


def test_a_look_finds_what_moved_and_is_charged_to_everybody(months: Kept, tmp_path: Path) -> None:
    before = months.spent()
    read = load_sampler(months.run / "result.sampler")
    sampler = months.sampler
    plans = [months.first] + [
        plan_drift(months.trained, sampler, epsilon=1.0, like=months.first, plan_id=f"look-{n}")[0]
        for n in (2, 3)
    ]
    looks = [
        months.look(plan, tmp_path / str(n), month=n, moved=moved)
        for n, (plan, moved) in enumerate(zip(plans, (0, 0, 0.1), strict=True), start=1)
    ]
    assert months.spent() - before == 3 * plan_units(months.first)
    assert find_drift(looks[0], looks[1], sampler=read).moved == ()
    assert find_drift(looks[0], looks[2], sampler=read).moved == (("a", "c"),)


def _share(sampler: Sampler, **where: str) -> float:
    return probability_of(sampler, where)


@pytest.mark.parametrize("months", ["own"], indirect=True)
def test_what_moved_is_measured_again_and_the_rest_taken_over(months: Kept, tmp_path: Path) -> None:
    moved, out, sampler = {("a", "c"): 0.2}, tmp_path / "renewed", months.sampler
    plan = plan_renewal(months.trained, SCHEMA, sampler, moved=moved, epsilon=1.0, plan_id="anew")
    assert plan.workload == (("a", "c"),)
    with pytest.raises(InvalidArgument, match="no run of this coordinator"):
        require_trained(tmp_path, plan)  # before anything is spent
    before = months.spent()
    out.mkdir()
    for wrong in (None, sampler + b" "):
        if wrong is not None:
            keep_last(out, wrong)
        with pytest.raises(RunFailed, match="takes over from a sampler that is not here"):
            months.renew(plan, out)
    assert months.spent() == before
    keep_last(out, sampler)
    state = months.renew(plan, out)
    assert months.spent() - before == plan_units(plan)
    last, new = parse_sampler(sampler), finish(state).sampler
    assert isinstance(last, Sampler)
    assert isinstance(new, Sampler)
    # What moved is as it is now; what was not asked is as it was, though it is otherwise now.
    assert _share(last, a="x", c="x") == pytest.approx(0.25, abs=0.02)
    assert _share(new, a="x", c="x") == pytest.approx(0.35, abs=0.02)
    assert _share(last, a="x", b="x") == pytest.approx(0.45, abs=0.02)
    assert _share(new, a="x", b="x") == pytest.approx(_share(last, a="x", b="x"), abs=0.01)
    # Whatever reads the run reads what it renewed.
    again = read_state(out, plan=plan, schema=SCHEMA)
    assert dump_sampler(finish(again).sampler) == dump_sampler(new)
    for other in (
        *draw_replicates(again, finish(again), count=2, seed=1),
        localise(again, silo="west"),
    ):
        assert isinstance(other, Sampler)
        assert _share(other, a="x", b="x") == pytest.approx(_share(last, a="x", b="x"), abs=0.02)
        assert _share(other, a="x", c="x") == pytest.approx(0.35, abs=0.02)
    assert "no silo checked" in certify_plan(plan).assumptions[-1]
    assert "one person pays both" in certify_plan(plan).assumptions[-1]
    with pytest.raises(InvalidPlan, match="nothing moved"):
        plan_renewal(months.trained, SCHEMA, sampler, moved={}, epsilon=1.0)


@pytest.mark.parametrize("months", ["own"], indirect=True)
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"inputs": "sha256:" + "1" * 64}, "plan-refused"),
        ({"sampler": "sha256:" + "1" * 64}, "plan-refused"),
        ({"trained_units": 1}, "plan-refused"),
        ({"weights": [2**20, 1, 1, 1, 1]}, "plan-refused"),
        ({"repeats": 16}, "plan-refused"),
    ],
)
def test_a_silo_works_out_again_what_a_look_is_held_against(
    months: Kept, change: dict[str, Any], code: str
) -> None:
    facts = months.first.model_dump(mode="json") | {"id": f"wrong-{next(iter(change))}"}
    wrong = parse_plan(facts | {"evaluation": facts["evaluation"] | change})
    before = months.spent()
    answer = months.answer(wrong)
    assert isinstance(answer, Refusal)
    assert answer.code == code
    assert months.spent() == before


def test_what_a_plan_takes_over_from_is_none_of_a_silo_s_business() -> None:
    digest = "sha256:" + "1" * 64
    plan = new_plan(
        SCHEMA, epsilon=1, delta=1e-6, silos=SILOS, method="fixed", workload=[("a", "c")]
    )
    facts = plan.model_dump(mode="json")
    renews = {"version": 1, "trained": digest, "sampler": digest}
    again = parse_plan(facts | {"renews": renews})
    assert plan_units(again) == plan_units(plan)
    with pytest.raises(InvalidPlan, match="version"):
        parse_plan(facts | {"renews": renews | {"version": 2}})
    mst = new_plan(SCHEMA, epsilon=1, delta=1e-6, silos=SILOS, method="mst")
    with pytest.raises(InvalidPlan, match="belongs to the methods fixed"):
        parse_plan(mst.model_dump(mode="json") | {"renews": renews})
