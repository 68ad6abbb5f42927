"""In real time, over Flower and real processes, what holds by the virtual clock holds as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from silosynth.common.plan import Plan
from silosynth.server.federation import Pace
from silosynth.simulations.real_time.live import Live
from silosynth.simulations.real_time.wire import Wire, wired
from silosynth.simulations.scenario import Rehearsal, What
from silosynth.simulations.scenario.outcome import Places
from silosynth.simulations.scenario.rehearse import Seams, rehearse
from silosynth.simulations.world import Scenario, parse_scenario
from tests.simulations.real_time.launcher import MODULE
from tests.support.tables.worlds import KeyedBits, plan_of, schema, tables

SILOS = ("north", "west", "east")
REGIONS = {"eu": {"silos": ["north"]}, "us": {"silos": ["west", "east"]}}
QUICK = Pace(
    poll_seconds=0.1,
    nodes_seconds=0.5,
    resend_seconds=8.0,
    resend_most_seconds=16.0,
    failed_seconds=0.5,
    approval_seconds=0.5,
)


@dataclass(frozen=True, kw_only=True)
class World:
    """A world, the plan's wishes, and what is to be seen of it."""

    name: str
    more: dict[str, Any] = field(default_factory=dict)
    faults: tuple[dict[str, Any], ...] = ()
    asks: dict[str, Any] = field(default_factory=dict)
    seen: tuple[tuple[str, What], ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def scenario(self) -> Scenario:
        """Return it as a file would say it."""
        data = {"name": self.name, "regions": REGIONS, "faults": list(self.faults)} | self.more
        return parse_scenario(data, origin="test")


LINES = {
    "regions": {
        "eu": {"silos": ["north"], "link": {"delay": "5ms"}},
        "us": {"silos": ["west", "east"], "link": {"delay": "20ms", "jitter": "5ms"}},
    },
    "coordinator": {"region": "eu"},
    "between": [{"regions": ["us", "eu"], "delay": "30ms", "bandwidth_mbit": 2}],
}
PERSON = {"by": "person", "takes": "1s", "hours": "00:00-24:00"}
EVERY_DAY = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
WORLDS = [
    World(
        name="crashes",
        faults=(
            {"kind": "crash", "at": "count", "step": "after-charge", "silos": ["north"]}
            | {"lasts": "1s"},
            {"kind": "crash", "at": "send", "step": "after-store", "silos": ["west"]}
            | {"lasts": "2s"},
        ),
        more={"silos": {"east": {"machine": {"speed": 0.2}}}},
        seen=(("north", What.CRASH), ("west", What.CRASH)),
    ),
    World(name="lines", more=LINES),
    World(
        name="lossy",
        more={"regions": REGIONS | {"us": {"silos": ["west", "east"], "link": {"loss": 0.1}}}},
        faults=({"kind": "stall", "at": "count", "lasts": "2s", "silos": ["north"]},),
        seen=(("north", What.STALL),),
    ),
    World(
        name="away",
        faults=(
            {"kind": "partition", "at": "count", "lasts": "3s", "silos": ["west"]},
            {"kind": "outage", "silos": ["east"], "from": "0s", "until": "3s"},
        ),
    ),
    World(
        name="coordinator",
        faults=({"kind": "coordinator", "at": "count", "answers": 2, "lasts": "1s"},),
        more={"silos": {"west": {"approval": PERSON | EVERY_DAY}}},
        seen=(("west", What.WAIT),),
    ),
    World(
        name="shared",
        faults=({"kind": "crash", "at": "set", "lasts": "1s", "silos": ["east"]},),
        asks={"trust": "shared"},
        seen=(("east", What.CRASH),),
    ),
    World(
        name="liar",
        more={"silos": {"west": {"lie": "rubbish"}}},
        asks={"on_absent": "continue"},
        gone=("west",),
    ),
]


def asked(world: World) -> Plan:
    return plan_of(SILOS, **world.asks)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """Start a SuperLink, and a line, a relay and a SuperNode for each silo, once."""
    with wired(plan_of(SILOS), launcher=MODULE) as found:
        yield found


def calm(world: World, wire: Wire, directory: Path) -> bytes:
    """Return the sampler of the plan on a calm day by the virtual clock, with the same keys."""
    rehearse(
        asked(world),
        schema=schema(),
        tables=tables(),
        scenario=World(name="calm").scenario,
        directory=directory,
        seams=Seams(keys=wire.keys, bits={s: KeyedBits(s) for s in SILOS}),
    )
    return Places(path=directory).sampler.read_bytes()


def live(world: World, wire: Wire, directory: Path) -> Rehearsal:
    return rehearse(
        asked(world),
        schema=schema(),
        tables=tables(),
        scenario=world.scenario,
        directory=directory,
        lives=Live(wire=wire, pace=QUICK),
    )


@pytest.mark.parametrize("world", WORLDS, ids=[w.name for w in WORLDS])
def test_what_holds_by_the_virtual_clock_holds_over_flower(
    world: World, wire: Wire, tmp_path: Path
) -> None:
    came = live(world, wire, tmp_path / "run")
    assert (came.error, came.broken) == (None, ())
    assert tuple(came.state.left) == world.gone
    counts = came.timeline.counts
    assert [(s, w) for s, w in world.seen if not counts[s][w]] == []
    places = Places(path=tmp_path / "run")
    if not world.gone:
        assert places.sampler.read_bytes() == calm(world, wire, tmp_path / "calm")
    assert "real time" in places.picture.read_text()
    facts = came.facts()["timeline"]
    assert facts["clock"] == "real"
    assert all(region["from_silos"] > 1000 for region in facts["bytes"].values())
