"""Live through a scenario in real time: the same file, invariants and picture as in virtual."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from silosynth.client.ledger import Ledger
from silosynth.common.errors import InvalidArgument, RunFailed
from silosynth.common.plan import Plan, dump_plan
from silosynth.common.schema import Schema, dump_schema
from silosynth.common.trust import PublicKey
from silosynth.server.driver import Progress
from silosynth.server.federation import Pace
from silosynth.simulations.one_process import write_private
from silosynth.simulations.real_time.parcels import (
    KEY,
    LEDGER,
    PLAN,
    SCENARIO,
    SCHEMA,
    SECRET,
    SETTINGS,
    TABLE,
    RunParcel,
    SiloNotes,
)
from silosynth.simulations.real_time.way import RealTime
from silosynth.simulations.real_time.wire import Host, Wire, wired
from silosynth.simulations.scenario import (
    COORDINATOR,
    Deaths,
    Rehearsal,
    RowsOf,
    Run,
    Timeline,
    What,
    claim,
    faults,
    liars_of,
    summed_of,
    with_roster,
)
from silosynth.simulations.world import (
    CoordinatorCrash,
    Crash,
    Outage,
    Partition,
    Place,
    Scenario,
    make_places,
)

MOST_SILOS = 100
"""A silo is four processes, so more are for the virtual clock."""
_AWAY: Mapping[str, type[Crash] | type[Outage] | type[Partition]] = {
    "crash": Crash,
    "outage": Outage,
    "partition": Partition,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What lives through scenarios over one wire, one after another.

    ``pace`` is a seam for tests: how often the coordinator looks and sends again.
    """

    wire: Wire
    pace: Pace | None = None

    def __call__(
        self,
        plan: Plan,
        *,
        schema: Schema,
        tables: Mapping[str, pa.Table],
        scenario: Scenario,
        directory: Path,
        rows: RowsOf,
        progress: Callable[[Progress], None] = lambda _: None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Rehearsal:
        """Return what came of a scenario; an error that ended the run is part of it."""
        keys, hosts = self.wire.keys, {s: self.wire.hosts[s] for s in plan.silos}
        signed = with_roster(plan, keys)
        claim(directory, plan=plan, schema=schema)
        self.wire.wait_online()
        begun = time.time()
        lines = self.wire.begin_lines(scenario, begun=begun)
        parcels = {
            s: _parcel(
                signed,
                s,
                schema=schema,
                scenario=scenario,
                rows=rows,
                table=tables[s],
                key=self.wire.key_file(s).read_bytes(),
                coordinator=keys[COORDINATOR].public,
                back=lines.get(scenario.homes()[s]),
            )
            for s in hosts
        }
        places = make_places(scenario, plan.silos)
        timeline = Timeline(homes=scenario.homes(), clock="real")
        way = RealTime(
            signed,
            federation=self.wire.federation,
            key=keys[COORDINATOR],
            lock=self.wire.folder / "superlink.lock",
            begun=begun,
            timeline=timeline,
            deaths=Deaths(f for f in scenario.faults if isinstance(f, CoordinatorCrash)),
            pace=self.pace,
        )
        run = Run(plan=signed, schema=schema, directory=directory, way=way)
        try:
            _each(hosts, lambda silo, host: host.begin(parcels[silo], begun=begun))
            error = run.to_end(key=keys[COORDINATOR], progress=progress, tell=tell)
        finally:
            way.close()
            ended = _each(hosts, lambda _, host: host.end())
            seen = self.wire.end_lines()
        found = {silo: notes for silo, notes in ended.items() if notes is not None}
        _check_processes(found)
        _write_marks(timeline, found, places=places, lines=seen)
        state = run.state()
        broken = _broken(
            signed,
            found,
            directory=directory,
            state=state if error is None else None,
            liars=liars_of(places),
            summed=summed_of(scenario, places),
        )
        return Rehearsal.of(
            plan,
            timeline=timeline,
            places=places,
            broken=broken,
            state=state,
            error=error,
            directory=directory,
            told={s: n.told for s, n in found.items()},
        )


def check_real_time(scenario: Scenario) -> None:
    """Raise InvalidArgument for a scenario that has more silos than real time is for."""
    silos = len(scenario.homes())
    if silos > MOST_SILOS:
        raise InvalidArgument(
            f"{silos} silos are more than {MOST_SILOS}, and in real time each is four processes",
            hint="leave --real-time out: the virtual clock takes 10,000",
        )


def _each(hosts: Mapping[str, Host], call: Callable[[str, Host], Any]) -> dict[str, Any]:
    """Call every silo's host, all at once; return what each gave."""
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        asked = {silo: pool.submit(call, silo, host) for silo, host in hosts.items()}
        return {silo: found.result() for silo, found in asked.items()}


def _parcel(
    plan: Plan,
    silo: str,
    *,
    schema: Schema,
    scenario: Scenario,
    rows: RowsOf,
    table: pa.Table,
    key: bytes,
    coordinator: PublicKey,
    back: str | None,
) -> RunParcel:
    """Return what a silo needs for a run; ``plan`` names the silos' keys."""
    text = dump_plan(plan).encode()
    settings = {
        "silo": silo,
        "coordinator": coordinator,
        "person_column": rows.person_column,
        "rows_per_person": rows.rows_per_person,
        "map": rows.map_of(silo, plan).model_dump(mode="json", by_alias=True),
        "sealed": len(text),
    }
    files = {
        PLAN: text,
        SCHEMA: dump_schema(schema).encode(),
        SCENARIO: scenario.model_dump_json(by_alias=True).encode(),
        TABLE: _arrow(table),
        KEY: key,
        SECRET: os.urandom(32),
        SETTINGS: json.dumps(settings).encode(),
    }
    return RunParcel(files=files, back=back)


def _arrow(table: pa.Table) -> bytes:
    """Return a table in Arrow's file format."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _check_processes(found: Mapping[str, SiloNotes]) -> None:
    """Raise RunFailed where a silo's process ended, and the scenario did not end it."""
    if wrong := [fault for notes in found.values() for fault in notes.faults]:
        raise RunFailed(wrong[0], hint="nothing of this run counts; run the same command again")


def _write_marks(
    timeline: Timeline,
    found: Mapping[str, SiloNotes],
    *,
    places: Mapping[str, Place],
    lines: Mapping[str, Mapping[str, Any]],
) -> None:
    """Put what silos and lines saw into the timeline, and into the places that are drawn."""
    for silo, notes in found.items():
        place = places[silo]
        for note in notes.notes:
            if note["what"] in _AWAY:
                fault = _AWAY[note["what"]].model_validate(note["fault"])
                place.befallen(fault, now=note["begin"], until=note["until"])
            if note["what"] in set(What):
                timeline.mark(silo, What(note["what"]), note["begin"], note["until"])
        said = {note["what"]: note["begin"] for note in notes.notes}
        if "asked" in said and What.WAIT.value not in said:
            timeline.mark(silo, What.WAIT, said["asked"], max(said["asked"], timeline.until))
        for what, when in notes.link["marks"]:
            timeline.mark(silo, What(what), when)
        timeline.sent[place.region] += notes.link["sent"]
        timeline.received[place.region] += notes.link["received"]
    for region, seen in lines.items():
        timeline.queued[region] += seen["queued"]


def _broken(
    plan: Plan, found: Mapping[str, SiloNotes], *, directory: Path, **named: Any
) -> list[str]:
    """Return what does not hold, by the silos' ledgers and by what left them."""
    ledgers: dict[str, Ledger] = {}
    for silo, notes in found.items():
        folder = directory / "silos" / silo
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(folder / LEDGER, notes.ledger)
        ledgers[silo] = Ledger.hold(notes.ledger, path=folder / LEDGER, caps={})
    with _closing(ledgers):
        return faults(
            plan,
            ledger=ledgers.__getitem__,
            left={s: n.left for s, n in found.items()},
            conflicts=[s for s, n in found.items() for _ in range(n.conflicts)],
            **named,
        )


@contextmanager
def _closing(ledgers: Mapping[str, Ledger]) -> Iterator[None]:
    """Close ledgers afterwards."""
    try:
        yield
    finally:
        for ledger in ledgers.values():
            ledger.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """What lives through one scenario over a wire that is started for it, and ended afterwards.

    ``cluster`` is the Ray cluster that places the silos; without it they are on this machine.
    """

    cluster: str | None = None
    tell: Callable[[str], None] = lambda _: None

    def __call__(self, plan: Plan, *, scenario: Scenario, **named: Any) -> Rehearsal:
        """Return what came of a scenario; an error that ended the run is part of it."""
        check_real_time(scenario)
        with self._wired(plan) as wire:
            return Live(wire=wire)(plan, scenario=scenario, **named)

    def _wired(self, plan: Plan) -> AbstractContextManager[Wire]:
        if self.cluster is None:
            return wired(plan)
        # Ray takes a second to import.
        from silosynth.simulations.real_time.on_ray import wired_on_ray

        return wired_on_ray(plan, cluster=self.cluster, tell=self.tell)
