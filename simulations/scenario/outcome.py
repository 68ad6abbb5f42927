"""What came of a scenario, where it is kept, and what its plan's settings bought.

The same world again, with one setting of the plan otherwise, says what that setting bought.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from silosynth.common.errors import OutputExists, SilosynthError
from silosynth.common.files import write_text
from silosynth.common.plan import OnAbsent, Plan, dump_plan, parse_plan
from silosynth.common.schema import Schema, dump_schema
from silosynth.server.coordinator import State
from silosynth.simulations.scenario.invariants import HELD
from silosynth.simulations.scenario.page import bought, run_page
from silosynth.simulations.scenario.picture import timeline_picture
from silosynth.simulations.scenario.timeline import Timeline
from silosynth.simulations.world import SECOND, Place, Scenario, spell_span

_MOST_TOLD = 20
_FACTOR = 4
_MOST_DEADLINE = 604_800


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

    @classmethod
    def of(
        cls,
        plan: Plan,
        *,
        timeline: Timeline,
        places: Mapping[str, Place],
        broken: Iterable[str],
        state: State,
        error: SilosynthError | None,
        directory: Path,
        told: Mapping[str, Iterable[str]],
    ) -> Self:
        """Return what came of a run that is kept in a directory; no line is told twice."""
        lines = {silo: tuple(dict.fromkeys(said)) for silo, said in told.items()}
        return cls(
            plan=plan,
            timeline=timeline,
            places=places,
            broken=tuple(broken),
            state=state,
            error=error,
            sampler=Places(path=directory).sampler if error is None else None,
            told={silo: said for silo, said in lines.items() if said},
        )

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
            "bought": bought(
                self.plan, self.timeline, left=self.state.left, ended=error is not None
            ),
            "invariants": {"held": not self.broken, "of": list(HELD), "broken": list(self.broken)},
            "otherwise": list(self.otherwise),
            "told": {silo: list(lines[:_MOST_TOLD]) for silo, lines in self.told.items()},
            "timeline": self.timeline.facts(self.places),
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


def claim(directory: Path, *, plan: Plan, schema: Schema) -> None:
    """Begin in a new directory: a rehearsal takes seconds and is not resumed."""
    if directory.exists() and any(directory.iterdir()):
        raise OutputExists(
            f"{directory} holds a run",
            hint="a run in a scenario is not gone on with: choose another, or begin anew: --force",
        )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "silos").mkdir(mode=0o700)
    write_text(directory / "plan.yaml", dump_plan(plan), force=False)
    write_text(directory / "schema.yaml", dump_schema(schema), force=False)


def write(directory: Path, result: Rehearsal, *, scenario: Scenario) -> None:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """A plan with one setting otherwise: what it was, and what it is instead."""

    setting: str
    value: str
    instead: str
    plan: Plan


def alternatives(plan: Plan) -> Iterator[Otherwise]:
    """Yield a plan with each of its ways with absent silos otherwise, one at a time.

    Deadlines are a quarter and four times as long. With shared noise the silos that may be away
    become none, and attempts one; the noise of a sum stays what the plan says.
    """
    deadline = plan.deadline_seconds
    for seconds in (deadline // _FACTOR, deadline * _FACTOR):
        if 1 <= seconds <= _MOST_DEADLINE:
            words = spell_span(deadline * SECOND), spell_span(seconds * SECOND)
            yield _other(plan, "deadline", *words, deadline_seconds=seconds)
    if plan.masked:
        if plan.absent:
            stop = OnAbsent.STOP.value
            yield _other(plan, "absent", str(plan.absent), "0", absent=0, on_absent=stop)
        if plan.attempts > 1:
            yield _other(plan, "attempts", str(plan.attempts), "1", attempts=1)
        return
    now = plan.on_absent
    other = OnAbsent.CONTINUE if now is OnAbsent.STOP else OnAbsent.STOP
    yield _other(plan, "on_absent", now.value, other.value, on_absent=other.value)


def _other(plan: Plan, setting: str, value: str, instead: str, **fields: object) -> Otherwise:
    """Return a plan with some fields otherwise."""
    changed = parse_plan(plan.model_dump(mode="json") | fields)
    return Otherwise(setting=setting, value=value, instead=instead, plan=changed)


def live_otherwise(
    plan: Plan, *, live: Callable[[Plan], Mapping[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Return what comes of a plan with each setting otherwise.

    Args: live: lives through the same world with a plan, and returns the facts of the run.
    """
    return tuple(_facts(other, live(other.plan)) for other in alternatives(plan))


def _facts(other: Otherwise, came: Mapping[str, Any]) -> dict[str, Any]:
    """Return what came of one setting's being otherwise."""
    ended = came["ended"] == "completed"
    return {
        "setting": other.setting,
        "value": other.value,
        "instead": other.instead,
        "ended": came["ended"],
        "error": came["error"],
        "virtual_seconds": came["timeline"]["virtual_seconds"],
        "virtual_time": came["timeline"]["virtual_time"],
        "silos": len(came["silos"]) if ended else 0,
        "invariants_held": came["invariants"]["held"],
    }
