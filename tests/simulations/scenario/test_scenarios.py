"""Whatever a scenario does: charged before released, once, and the calm run's sampler or an error.

Every scenario here runs in virtual time over the real coordinator and real gateways.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import pytest

from silosynth.client.noise.draw import discrete_gaussian
from silosynth.common.errors import PlanRefused
from silosynth.common.plan import Method, Plan
from silosynth.simulations.scenario.federation import Federation
from silosynth.simulations.scenario.member import Still
from silosynth.simulations.scenario.outcome import Places
from silosynth.simulations.world import idle, load_scenario
from tests.support.tables.worlds import SILOS, live, plan, scenario

GALLERY = Path(__file__).parents[3] / "deploy" / "examples" / "scenarios"
SHARED: dict[str, Any] = {"method": "independent", "trust": "shared"}
SPARING = SHARED | {"absent": 1, "on_absent": "continue", "attempts": 2}
GOES_ON = {"on_absent": "continue"}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A scenario, the plan that lives through it, and what has to come of it."""

    name: str
    faults: list[dict[str, Any]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    asks: dict[str, Any] = field(default_factory=dict)
    ends: str = "completed"
    gone: tuple[str, ...] = ()
    same: bool = True


def crash(at: str, **more: Any) -> dict[str, Any]:
    """Return a crash of the silo north."""
    return {"kind": "crash", "at": at, "silos": ["north"], "lasts": "1m"} | more


def befalls(kind: str, at: str, **more: Any) -> dict[str, Any]:
    """Return what takes the silo north away from a point on."""
    return {"kind": kind, "at": at, "silos": ["north"], "lasts": "2m"} | more


def dies(**more: Any) -> dict[str, Any]:
    """Return a death of the coordinator."""
    return {"kind": "coordinator"} | more


def person(**more: Any) -> dict[str, Any]:
    """Return regions where a person of the EU approves."""
    approval = {"by": "person", "hours": "09:00-17:00"} | more
    eu = {"silos": ["north", "south"], "approval": approval}
    return {"regions": {"eu": eu, "us": {"silos": ["west", "east"]}}}


def link(**more: Any) -> dict[str, Any]:
    """Return regions where the way to the US is special."""
    us = {"silos": ["west", "east"], "link": more}
    return {"regions": {"eu": {"silos": ["north", "south"]}, "us": us}}


def one(silo: str, **more: Any) -> dict[str, Any]:
    """Return what is different at one silo."""
    return {"silos": {silo: more}}


FOREVER = {"kind": "partition", "silos": ["west"]}
WORLDS = [
    World(name="slow", more=link(delay="2s", jitter="1s", distribution="lognormal")),
    World(name="uniform", more=link(delay="200ms", jitter="150ms", distribution="uniform")),
    World(name="thin", more=link(delay="1s", distribution="fixed", bandwidth_mbit=0.01)),
    World(name="lossy", more=link(delay="50ms", loss=0.4)),
    World(name="answers-lost", faults=[{"kind": "loss", "at": "send", "probability": 0.7}]),
    World(
        name="all-lost",
        faults=[{"kind": "loss", "probability": 1.0, "silos": ["west"]}],
        ends="deadline-exceeded",
    ),
    World(name="stall-count", faults=[{"kind": "stall", "at": "count", "lasts": "5m"}]),
    World(name="stall-send", faults=[{"kind": "stall", "at": "send", "lasts": "5m"}]),
    World(
        name="stall-too-long",
        faults=[{"kind": "stall", "at": "count", "lasts": "2h", "silos": ["east"]}],
        ends="silo-absent",
    ),
    World(
        name="stall-goes-on",
        faults=[{"kind": "stall", "at": "count", "lasts": "2h", "silos": ["east"]}],
        asks=GOES_ON,
        gone=("east",),
    ),
    World(
        name="answer-too-late",
        faults=[{"kind": "stall", "at": "send", "lasts": "2h", "silos": ["east"], "times": 1000}],
        asks=GOES_ON | {"method": "mst"},
        gone=("east",),
    ),
    World(name="stall-connect", faults=[{"kind": "stall", "at": "connect", "lasts": "3m"}]),
    World(name="crash-connect", faults=[crash("connect")]),
    World(name="crash-propose", faults=[crash("propose")]),
    World(name="crash-received", faults=[crash("count", step="received")]),
    World(name="crash-verified", faults=[crash("count", step="verified")]),
    World(name="crash-before-charge", faults=[crash("count", step="before-charge")]),
    World(name="crash-after-charge", faults=[crash("count", step="after-charge", times=3)]),
    World(name="crash-counted", faults=[crash("count", step="counted")]),
    World(name="crash-noised", faults=[crash("count", step="noised")]),
    World(name="crash-before-store", faults=[crash("count", step="before-store")]),
    World(name="crash-after-store", faults=[crash("send", step="after-store")]),
    World(name="crash-before-send", faults=[crash("send", times=2)]),
    World(name="crash-deliver", faults=[crash("deliver")]),
    World(
        name="crash-mst",
        faults=[crash("count", step="noised", phase="tree"), crash("send", phase="one-way")],
        asks={"method": "mst"},
    ),
    World(
        name="crash-too-often",
        faults=[crash("count", times=1000, lasts="2m")],
        ends="silo-absent",
    ),
    World(
        name="outage", faults=[{"kind": "outage", "regions": ["us"], "from": "0s", "until": "3m"}]
    ),
    World(
        name="outage-while-counting",
        faults=[
            {"kind": "stall", "at": "count", "lasts": "2m", "silos": ["south"]},
            {"kind": "outage", "silos": ["south"], "from": "1m", "until": "90s"},
        ],
    ),
    World(
        name="partition-while-counting",
        faults=[
            {"kind": "stall", "at": "count", "lasts": "2m", "silos": ["south"]},
            {"kind": "partition", "silos": ["south"], "from": "1m", "until": "3m"},
        ],
    ),
    World(name="partition-for-ever", faults=[FOREVER], ends="deadline-exceeded"),
    World(name="partition-goes-on", faults=[FOREVER], asks=GOES_ON, gone=("west",)),
    World(
        name="partition-later",
        faults=[FOREVER | {"from": "600ms"}],
        ends="silo-absent",
        more=link(delay="100ms", distribution="fixed") | {"seed": 2},
    ),
    World(name="cut-off-counting", faults=[befalls("partition", "count")]),
    World(name="cut-off-sending", faults=[befalls("partition", "send")]),
    World(name="cut-off-connecting", faults=[befalls("partition", "connect")]),
    World(
        name="cut-off-too-long",
        faults=[befalls("partition", "count", lasts="2h")],
        ends="silo-absent",
    ),
    World(
        name="off-often",
        faults=[befalls("outage", at) for at in ("connect", "propose", "count", "send", "deliver")],
        asks={"method": "mst"},
    ),
    World(name="coordinator-by-time", faults=[dies(**{"from": "100ms"})]),
    World(name="coordinator-fitting", faults=[dies(**{"from": "3s"}, lasts="2h")]),
    World(name="coordinator-proposing", faults=[dies(at="propose", answers=2)]),
    World(name="coordinator-counting", faults=[dies(at="count", answers=3), dies(at="count")]),
    World(
        name="coordinator-in-the-second-phase",
        faults=[dies(at="count", phase="tree", answers=4, lasts="3h")],
        asks={"method": "mst"},
    ),
    World(name="coordinator-delivering", faults=[dies(at="deliver", answers=4)]),
    World(name="coordinator-agreeing", faults=[dies(at="set", answers=2)], asks=SHARED),
    World(name="coordinator-summing", faults=[dies(at="count", answers=4)], asks=SHARED),
    World(
        name="coordinator-while-a-person-decides",
        more=person(takes="3h"),
        faults=[dies(**{"from": "5m"}, lasts="30m"), dies(**{"from": "2h"}, lasts="9h")],
    ),
    World(
        name="all-die-by-turns",
        faults=[
            dies(at="count", answers=2),
            crash("count", step="after-charge"),
            befalls("partition", "send", silos=["south"]),
            befalls("outage", "deliver", silos=["west"]),
        ],
        more=link(delay="80ms", loss=0.2),
        asks={"method": "mst"},
    ),
    World(
        name="thin-line",
        more={
            "coordinator": {"region": "eu"},
            "between": [{"regions": ["us", "eu"], "delay": "90ms", "bandwidth_mbit": 0.01}],
        },
    ),
    World(
        name="lossy-line",
        more={
            "coordinator": {"region": "cloud"},
            "between": [{"regions": ["us", "cloud"], "loss": 0.4, "jitter": "10ms"}],
        },
    ),
    World(name="churn", more=one("south", churn={"up": "1m", "down": "20s"})),
    World(name="snail", more=one("east", machine={"speed": 0.005})),
    World(name="clock-behind", more=one("east", clock={"offset": "-2m"})),
    World(name="clock-ahead", more=one("east", clock={"offset": "20s"}), ends="deadline-exceeded"),
    World(name="clock-mends", more=one("east", clock={"offset": "20s", "drift_ppm": -10_000})),
    World(name="hours", more=person()),
    World(
        name="weekend",
        more=person() | {"starts": "2026-03-06T18:00:00Z"},
        asks={"approval_seconds": 604_800},
    ),
    World(
        name="weekend-too-short",
        more=person() | {"starts": "2026-03-06T18:00:00Z"},
        ends="deadline-exceeded",
    ),
    World(name="refuses", more=person(refuses=True), ends="plan-refused"),
    World(name="rubbish", more=one("west", lie="rubbish"), ends="run-failed"),
    World(name="rubbish-goes-on", more=one("west", lie="rubbish"), asks=GOES_ON, gone=("west",)),
    World(name="no-noise", more=one("west", lie="no-noise"), same=False),
    World(name="stale-ledger", more=one("west", lie="stale-ledger"), asks={"method": "mst"}),
    World(name="shared-lossy", more=link(delay="50ms", loss=0.3), asks=SHARED),
    World(name="shared-crash-set", faults=[crash("set")], asks=SHARED),
    World(name="shared-crash-charge", faults=[crash("count", step="after-charge")], asks=SHARED),
    World(name="shared-crash-send", faults=[crash("send", step="after-store")], asks=SHARED),
    World(name="shared-spares", faults=[FOREVER | {"from": "0s"}], asks=SPARING, gone=("west",)),
    World(name="shared-cannot-spare", faults=[FOREVER], asks=SHARED, ends="deadline-exceeded"),
    World(
        name="missing-column",
        more={"skew": [{"kind": "missing-column", "column": "ill", "silos": ["west"]}]},
        ends="refused",
    ),
    World(
        name="dirichlet",
        more={"skew": [{"kind": "dirichlet", "column": "town", "alpha": 0.3}]},
        same=False,
    ),
    World(name="disjoint", more={"skew": [{"kind": "disjoint", "column": "town"}]}, same=False),
]


@cache
def calm(asks: str) -> bytes:
    """Return the sampler of a plan on a calm day."""
    with TemporaryDirectory() as folder:
        live(plan(**json.loads(asks)), scenario(), Path(folder) / "calm")
        return Places(path=Path(folder) / "calm").sampler.read_bytes()


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_what_holds_in_every_scenario(world: World, tmp_path: Path) -> None:
    asked = plan(**world.asks)
    came = live(asked, scenario(faults=world.faults, **world.more), tmp_path / "run")
    assert came.broken == ()
    assert (came.error.code if came.error else "completed") == world.ends
    assert tuple(came.state.left) == world.gone
    deaths = sum(fault["kind"] == "coordinator" for fault in world.faults)
    assert sum(leg.name == "coordinator off" for leg in came.timeline.legs) == deaths
    if came.error is not None:
        assert came.error.message
        assert any(silo in came.error.message for silo in SILOS)
        assert came.sampler is None
    elif world.same and not world.gone:
        assert Places(path=tmp_path / "run").sampler.read_bytes() == calm(json.dumps(world.asks))


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_gallery_runs(path: Path, tmp_path: Path) -> None:
    trust = {"trust": "shared"} if path.stem == "rules" else {"approval_seconds": 604_800}
    came = live(plan("mst", **trust), load_scenario(path), tmp_path / "run")
    assert (came.error, came.broken) == (None, ())


def test_one_seed_gives_one_timeline_whatever_the_noise(tmp_path: Path) -> None:
    rough = load_scenario(GALLERY / "flaky.yaml")
    texts = []
    for run in ("a", "b"):
        live(plan("mst"), rough, tmp_path / run, seeded=False)
        places = Places(path=tmp_path / run)
        texts.append((places.facts.read_text(), places.picture.read_text()))
    assert texts[0] == texts[1]
    other = rough.model_copy(update={"seed": rough.seed + 1})
    live(plan("mst"), other, tmp_path / "c", seeded=False)
    assert Places(path=tmp_path / "c").facts.read_text() != texts[0][0]


def test_a_release_without_a_charge_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: a gateway whose ledger forgets what it charged has to be noticed."""
    whole = Federation.ledger

    class Forgets:
        def __init__(self, ledger: Any) -> None:
            self._ledger = ledger

        def charges(self) -> tuple[()]:
            return ()

        def spent(self, scope: Any) -> int:
            return int(self._ledger.spent(scope))

    monkeypatch.setattr(Federation, "ledger", lambda self, silo: Forgets(whole(self, silo)))
    came = live(plan(), scenario(), tmp_path / "run")
    assert any("without a charge" in fault for fault in came.broken)


RULES = [
    ({"max_epsilon": 1}, {}, "max_epsilon"),
    ({"max_delta": 1e-9}, {}, "max_delta"),
    ({"methods": ["aim", "mst"]}, {}, "methods"),
    ({"trust": ["shared"]}, {}, "trust"),
    ({"only_sums": True}, {}, "only_sums"),
    ({"min_silos_in_sum": 3}, {}, "min_silos_in_sum"),
    ({"min_silos_in_sum": 4}, SPARING, "min_silos_in_sum"),
    ({"datasets": ["adults"]}, {}, "datasets"),
    ({"datasets_apart": ["default"]}, {}, "datasets_apart"),
]


@pytest.mark.parametrize(("rules", "asks", "name"), RULES)
def test_a_plan_that_breaks_a_rule_is_refused_before_anything_is_spent(
    rules: dict[str, Any], asks: dict[str, Any], name: str, tmp_path: Path
) -> None:
    eu = {"silos": ["north", "south"], "rules": rules}
    world = scenario(regions={"eu": eu, "us": {"silos": ["west", "east"]}})
    with pytest.raises(PlanRefused, match=f"region eu: rule {name}:"):
        live(plan(**asks), world, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_plan_that_keeps_every_rule_runs(tmp_path: Path) -> None:
    rules = {"max_epsilon": 5, "trust": ["shared"], "only_sums": True, "min_silos_in_sum": 3}
    eu = {"silos": ["north", "south"], "rules": rules | {"methods": ["independent"]}}
    world = scenario(regions={"eu": eu, "us": {"silos": ["west", "east"]}})
    came = live(plan(**SHARED | {"absent": 1, "on_absent": "continue"}), world, tmp_path / "run")
    assert (came.error, came.broken) == (None, ())


def test_a_silo_whose_ledger_was_put_back_is_named_at_the_end(tmp_path: Path) -> None:
    came = live(plan("mst"), scenario(silos={"west": {"lie": "stale-ledger"}}), tmp_path / "run")
    assert set(came.state.unacknowledged()) == {"west"}


def test_what_left_is_noised_but_a_liars(tmp_path: Path) -> None:
    came = live(plan(), scenario(silos={"west": {"lie": "no-noise"}}), tmp_path / "run")
    sums = {
        silo: [int(cells.sum()) for cells in releases[silo].marginals]
        for releases in came.state.releases.values()
        for silo in SILOS
    }
    assert sums["west"] == [40, 40, 40]
    assert all(sums[silo] != [40, 40, 40] for silo in SILOS if silo != "west")


def _exact(liars: Sequence[str], directory: Path) -> bool:
    """Say whether each marginal's sum over all silos is the number of rows, to the last one."""
    asked = plan(trust="shared")
    came = live(asked, scenario(silos={s: {"lie": "no-noise"} for s in liars}), directory)
    sums = {
        sum(int(cells.astype(object).sum()) for cells in parts) % 2**asked.sum_bits
        for releases in came.state.releases.values()
        for parts in zip(*(releases[s].marginals for s in SILOS), strict=True)
    }
    return sums == {4 * 40}


def test_a_liars_part_of_a_masked_sum_has_no_noise_either(tmp_path: Path) -> None:
    assert _exact(SILOS, tmp_path / "all")
    assert not _exact(SILOS[:3], tmp_path / "three")


@pytest.mark.parametrize("sigma2", [Fraction(1, 9), 1, 400, 2**20, 2**23, 2**100])
def test_the_bits_of_a_liar_are_noise_of_0(sigma2: Fraction) -> None:
    drawn = discrete_gaussian(sigma2=Fraction(sigma2), count=300, bits=Still())
    assert not drawn.any()


def test_a_lie_that_a_plan_does_not_let_happen_is_told() -> None:
    world = scenario(silos={"west": {"lie": "no-noise"}})
    learns = SimpleNamespace(chosen=SimpleNamespace(samples_persons=True), method=Method.DP_SGD)
    (line,) = idle(world, cast(Plan, learns))
    assert line.startswith("silos: west: this lie never happens: dp-sgd draws persons")
    assert list(idle(world, plan())) == []
