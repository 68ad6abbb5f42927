"""Run a plan through a scenario in virtual time, with the real coordinator and real gateways."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from silosynth.common.errors import InvalidArgument, OutputExists, SilosynthError
from silosynth.common.files import write_text
from silosynth.common.messages import (
    Bundle,
    Result,
    digest_sampler,
    encode_receipt,
    encode_statement,
)
from silosynth.common.plan import Plan, check_budget, check_plan, dump_plan
from silosynth.common.sampler import save_sampler
from silosynth.common.schema import Schema, dump_schema
from silosynth.common.trust import SigningKey
from silosynth.server.coordinator import State, finish, replay
from silosynth.server.driver import Journal, Progress, Signed
from silosynth.server.driver.drive import drive
from silosynth.server.methods import require_generators
from silosynth.simulations.scenario.engine import VirtualTime
from silosynth.simulations.scenario.federation import (
    COORDINATOR,
    Federation,
    Member,
    RequestBits,
    RowsOf,
    with_roster,
)
from silosynth.simulations.scenario.invariants import HELD, faults
from silosynth.simulations.scenario.letters import CoordinatorKilled
from silosynth.simulations.scenario.otherwise import live_otherwise
from silosynth.simulations.scenario.page import bought, run_page
from silosynth.simulations.scenario.picture import timeline_picture
from silosynth.simulations.scenario.timeline import Timeline
from silosynth.simulations.world import (
    CoordinatorCrash,
    Place,
    Scenario,
    check_rules,
    make_places,
    match_plan,
    skew_tables,
)

Keys = Mapping[str, SigningKey]
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """For tests: the keys of all silos and of the coordinator, and each silo's bits."""

    keys: Keys | None = None
    bits: Mapping[str, RequestBits] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What came of a scenario: a state, or the error that ended the run; and what did not hold.

    ``told`` is what each silo's operator was told, which may speak of the rows; ``otherwise`` what
    came of the plan's settings being others, where that was asked for.
    """

    plan: Plan
    timeline: Timeline
    places: Mapping[str, Place]
    broken: tuple[str, ...]
    state: State
    error: SilosynthError | None
    sampler: Path | None
    told: Mapping[str, tuple[str, ...]]
    otherwise: tuple[Mapping[str, Any], ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return it as plain data: the same seed gives the same."""
        error = self.error
        return {
            "plan": self.plan.id,
            "ended": "completed" if error is None else error.code,
            "error": None if error is None else error.message,
            "silos": list(self.state.silos),
            "left": dict(self.state.left),
            "unacknowledged": self.state.unacknowledged(),
            "on_absent": self.plan.on_absent.value,
            "deadline_seconds": self.plan.deadline_seconds,
            "approval_seconds": self.plan.approval_seconds,
            "attempts": self.plan.attempts,
            "absent": self.plan.absent,
            "bought": bought(self.plan, self.timeline, left=self.state.left),
            "invariants": {"held": not self.broken, "of": list(HELD), "broken": list(self.broken)},
            "otherwise": list(self.otherwise),
            "told": {silo: list(lines[:_MOST_TOLD]) for silo, lines in self.told.items()},
            "timeline": self.timeline.facts(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a rehearsal keeps what comes of it."""

    path: Path

    @property
    def sampler(self) -> Path:
        """Return the path of the sampler."""
        return self.path / "result.sampler"

    @property
    def facts(self) -> Path:
        """Return the path of the timeline as JSON."""
        return self.path / "timeline.json"

    @property
    def picture(self) -> Path:
        """Return the path of the timeline as a picture."""
        return self.path / "timeline.svg"

    @property
    def report(self) -> Path:
        """Return the path of the page that shows all of it."""
        return self.path / "report.html"


def rehearse(
    plan: Plan,
    *,
    schema: Schema,
    tables: Mapping[str, pa.Table],
    scenario: Scenario,
    directory: Path,
    rows: RowsOf | None = None,
    otherwise: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
    seams: Seams | None = None,
) -> Rehearsal:
    """Live through a scenario and write sampler, certificate, timeline and picture.

    An error that ends the run is part of what is returned. Nothing sleeps: the real time is that
    of the silos' and the coordinator's work.

    Args:
        tables: one a silo, before the scenario's skew.
        rows: how they are read; as the schema says it by default.
        otherwise: live through it again with each of the plan's ways with absent silos otherwise.
    Raises InvalidPlan, InvalidArgument or PlanRefused before anything is spent.
    """
    _check(plan, schema=schema, tables=tables, scenario=scenario)
    skewed = skew_tables({s: tables[s] for s in plan.silos}, scenario.skew, seed=scenario.seed)
    live = partial(
        _live,
        schema=schema,
        tables=skewed,
        scenario=scenario,
        rows=rows or RowsOf(),
        seams=seams or Seams(),
    )
    result = live(plan, directory=directory, progress=progress, tell=tell)
    if otherwise:
        result = replace(result, otherwise=live_otherwise(plan, live=partial(_aside, live)))
    _write(directory, result, scenario=scenario)
    return result


def _check(
    plan: Plan, *, schema: Schema, tables: Mapping[str, pa.Table], scenario: Scenario
) -> None:
    """Raise what speaks against a rehearsal before anything is spent."""
    match_plan(scenario, plan)
    check_rules(scenario, plan)
    check_plan(plan, schema)
    check_budget(plan)
    require_generators(plan)
    if missing := [s for s in plan.silos if s not in tables]:
        raise InvalidArgument(f"silo {missing[0]!r} has no table", hint="give one table a silo")


def _aside(live: Callable[..., Rehearsal], plan: Plan) -> dict[str, Any]:
    """Return the facts of a run of which nothing is kept."""
    with TemporaryDirectory(prefix="silosynth-otherwise-") as folder:
        return live(plan, directory=Path(folder) / "run").facts()


def _live(
    plan: Plan,
    *,
    schema: Schema,
    tables: Mapping[str, pa.Table],
    scenario: Scenario,
    directory: Path,
    rows: RowsOf,
    seams: Seams,
    progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Rehearsal:
    """Live through a scenario on the silos' tables as they are."""
    keys = seams.keys or {s: SigningKey.generate() for s in (*plan.silos, COORDINATOR)}
    signed = with_roster(plan, keys)
    _claim(directory, plan=plan, schema=schema)
    places = make_places(scenario, plan.silos)
    clock = _Clock()
    members = {
        silo: Member(
            name=silo,
            key=keys[silo],
            table=tables[silo],
            directory=directory / "silos" / silo,
            person=places[silo].approval.by == "person",
            lie=places[silo].lie,
            bits=None if seams.bits is None else seams.bits[silo],
            now=clock.of(places[silo]),
            silo_map=rows.map_of(silo, plan),
        )
        for silo in plan.silos
    }
    timeline = Timeline(homes=scenario.homes())
    key = keys[COORDINATOR]
    with Federation(signed, schema, members=members, key=key, rows=rows) as federation:
        engine = clock.engine = VirtualTime(
            signed,
            federation=federation,
            places=places,
            timeline=timeline,
            crashes=[f for f in scenario.faults if isinstance(f, CoordinatorCrash)],
        )
        run = _Run(plan=signed, schema=schema, directory=directory, engine=engine)
        error = run.to_end(key=key, progress=progress, tell=tell)
        state = run.state()
        broken = faults(
            signed,
            federation=federation,
            left=engine.left,
            conflicts=engine.conflicts,
            state=state if error is None else None,
            liars=frozenset(s for s, p in places.items() if p.lie is not None),
            summed={
                s: p.region
                for s, p in places.items()
                if scenario.regions[p.region].rules.smallest_sum > 1
            },
        )
    return Rehearsal(
        plan=plan,
        timeline=timeline,
        places=places,
        broken=tuple(broken),
        state=state,
        error=error,
        sampler=Places(path=directory).sampler if error is None else None,
        told={s: tuple(dict.fromkeys(m.told)) for s, m in members.items() if m.told},
    )


class _Clock:
    """Own the way from a silo's clock to the engine, which is made after the silos."""

    engine: VirtualTime | None = None

    def of(self, place: Place) -> Callable[[], datetime]:
        """Return a silo's clock."""
        return lambda: place.time(self.engine.now if self.engine else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of the real coordinator over a virtual clock."""

    plan: Plan
    schema: Schema
    directory: Path
    engine: VirtualTime

    def to_end(
        self,
        *,
        key: SigningKey,
        progress: Callable[[Progress], None],
        tell: Callable[[str], None],
    ) -> SilosynthError | None:
        """Drive the plan; return the error that ended it, if one did."""
        while True:
            try:
                self._pump(key=key, progress=progress, tell=tell)
            except CoordinatorKilled as dead:
                self.engine.rest(until=dead.until)
            except SilosynthError as err:
                return err
            else:
                return None

    def _pump(
        self,
        *,
        key: SigningKey,
        progress: Callable[[Progress], None],
        tell: Callable[[str], None],
    ) -> None:
        """Drive the plan from where its journal stands."""
        bundle = self.directory / "result.bundle"
        with Journal(self.directory, plan_digest=self.plan.digest, durable=False) as journal:
            drive(
                self.plan,
                self.schema,
                journal=journal,
                send=self.engine.ask,
                agree=self.engine.agree,
                signed=Signed(
                    propose=self.engine.propose,
                    conclude=lambda state: self._conclude(state, key=key, bundle=bundle),
                    deliver=lambda silos: self.engine.deliver(silos, bundle=bundle.read_bytes()),
                ),
                progress=progress,
                tell=tell,
            )

    def state(self) -> State:
        """Return where the run stands, from its journal."""
        with Journal(self.directory, plan_digest=self.plan.digest) as journal:
            return replay(self.plan, self.schema, journal.events())[0]

    def _conclude(self, state: State, *, key: SigningKey, bundle: Path) -> str:
        """Fit, write the results, sign what goes back; return the sampler's digest."""
        outcome = finish(state)
        self.engine.fit()
        path = Places(path=self.directory).sampler
        save_sampler(outcome.sampler, path, force=True)
        text = json.dumps(outcome.certificate.model_dump(mode="json"), indent=1, sort_keys=True)
        write_text(self.directory / "certificate.json", text + "\n", force=True)
        sampler = path.read_bytes()
        result = Result(
            plan_digest=self.plan.digest,
            sampler_digest=digest_sampler(sampler),
            certificate=outcome.certificate,
            silos=state.silos,
            receipts={
                silo: tuple(base64.b64encode(encode_receipt(r)).decode() for r in releases)
                for silo, releases in state.answers().items()
            },
        )
        statement = encode_statement(result, key=key)
        bundle.write_bytes(Bundle(statement=statement, sampler=sampler).encode())
        return result.sampler_digest


def _claim(directory: Path, *, plan: Plan, schema: Schema) -> None:
    """Begin in a new directory: a rehearsal takes seconds and is not resumed."""
    if directory.exists() and any(directory.iterdir()):
        raise OutputExists(
            f"{directory} holds a run", hint="choose another directory, or add --force"
        )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "silos").mkdir(mode=0o700)
    write_text(directory / "plan.yaml", dump_plan(plan), force=False)
    write_text(directory / "schema.yaml", dump_schema(schema), force=False)


def _write(directory: Path, result: Rehearsal, *, scenario: Scenario) -> None:
    """Write the timeline as JSON and as a picture."""
    places = Places(path=directory)
    facts = {"scenario": scenario.name, "seed": scenario.seed, **result.facts()}
    write_text(places.facts, json.dumps(facts, indent=1, sort_keys=True) + "\n", force=True)
    picture = timeline_picture(
        result.timeline, places=result.places, title=_title(scenario, result), seed=scenario.seed
    )
    write_text(places.picture, picture, force=True)
    page = run_page(facts, picture=picture, title=_title(scenario, result))
    write_text(places.report, page, force=True)


def _title(scenario: Scenario, result: Rehearsal) -> str:
    ended = "completed" if result.error is None else f"ended by {result.error.code}"
    return f"{scenario.name}: {len(result.plan.silos)} silos, {result.plan.method.value}, {ended}"


def forget(directory: Path) -> None:
    """Remove a rehearsal's directory; refuse anything that is not one."""
    if not directory.exists():
        return
    if any(directory.iterdir()) and not (directory / "plan.yaml").is_file():
        raise OutputExists(f"{directory} is not the directory of a run", hint="choose another")
    shutil.rmtree(directory)
