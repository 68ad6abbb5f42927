"""The commands that have people who were held out judge a run's sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import (
    Force,
    GateFile,
    Json,
    JudgedWith,
    emit,
    end_missed,
    hold_bars,
    read_gate,
    say,
    with_flags,
)
from silosynth.common.errors import InvalidArgument, RunFailed
from silosynth.common.files import check_output, write_text
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Plan, check_promise, dump_plan, load_plan
from silosynth.common.report import Axis, Better, Measure, held_measures
from silosynth.common.schema import load_schema
from silosynth.server.coordinator import Stage, finish
from silosynth.server.driver import read_state
from silosynth.server.federation import find_run, home
from silosynth.server.judging import (
    Sought,
    describe_distance,
    expected_people,
    forecast_evaluation,
    judge_candidate,
    judgement_words,
    plan_evaluation,
    read_found,
)

SAMPLER = "result.sampler"


@dataclass(frozen=True, slots=True, kw_only=True)
class SoughtFlags:
    """What is wanted of an evaluation."""

    epsilon: Annotated[float | None, "Of those held out; the run's by default."] = None
    delta: Annotated[float | None, "The run's by default."] = None
    targets: Annotated[str | None, "Columns to predict, such as income,sex."] = None
    plan_id: Annotated[str | None, typer.Option("--id", help="A name of your own.")] = None

    def sought(self, *, trained: Plan, measured: Sequence[Measurement]) -> Sought:
        """Return it as values; raise InvalidArgument for a budget that promises nothing."""
        epsilon = self.epsilon or trained.privacy.epsilon
        delta = self.delta or trained.privacy.delta
        check_promise(epsilon=epsilon, delta=delta)
        return Sought(
            epsilon=epsilon,
            delta=delta,
            targets=[t.strip() for t in (self.targets or "").split(",") if t.strip()],
            plan_id=self.plan_id,
            measured=measured,
        )


def register_judge(groups: dict[str, typer.Typer]) -> None:
    """Add the command that plans an evaluation."""
    groups["plan"].command("evaluate")(with_flags(plan_evaluate, {"wanted": [SoughtFlags]}))


def find_directory(run: str) -> Path:
    """Return where a run lies: its directory as it is named, or that of a run of this coordinator.

    Raises InvalidArgument when there is none.
    """
    return Path(run) if Path(run).is_dir() else find_run(home(), run)[0].path


def sampler_in(directory: Path) -> bytes:
    """Return the sampler of a run; raise RunFailed where there is none yet."""
    try:
        return (directory / SAMPLER).read_bytes()
    except OSError:
        raise RunFailed(
            f"the run in {directory} has no sampler yet", hint="resume it first"
        ) from None


def plan_evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's directory or id.")],
    out: Annotated[Path, typer.Option(help="Where to write the plan (YAML).")],
    wanted: tuple[SoughtFlags],
    gate: GateFile = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Plan what the people whom a run held out are asked about its sampler: nothing is spent yet.

    It says how much noise each number will have, which a gate may bound. Those people paid for
    nothing else of the run.

    [dim]silosynth plan evaluate RUN --epsilon 1 --targets income --out eval.yaml[/dim]
    """
    check_output(out, force=force)
    bars = read_gate(gate)
    directory = find_directory(run)
    trained = load_plan(directory / "plan.yaml")
    sampler = sampler_in(directory)
    sought = wanted[0].sought(trained=trained, measured=_measured(directory, trained))
    plan, inputs = plan_evaluation(trained, sampler, sought=sought)
    write_text(out, dump_plan(plan), force=force)
    people = expected_people(trained, sampler)
    noise = forecast_evaluation(plan, inputs, people=people)
    say(f"wrote {out}: plan {plan.id}, epsilon {plan.privacy.epsilon:g}, about {people:.0f} people")
    for name, deviation in noise.items():
        say(f"  {name}: noise of standard deviation {deviation:.3g}")
    missed = hold_bars(bars, _measures(noise))
    facts = {"path": str(out), "id": plan.id, "digest": plan.digest}
    emit({**facts, "people": people, "noise": noise, "missed": missed}, as_json=as_json)
    end_missed(missed)


def _measures(noise: Mapping[str, float]) -> list[Measure]:
    """Return the standard deviations of an evaluation's numbers as measures, for a gate."""
    return [
        Measure(axis=Axis.FIDELITY, name=name, value=deviation, better=Better.LOW)
        for name, deviation in noise.items()
    ]


def judge_with(what: Path, evaluation: str) -> JudgedWith:
    """Return how far another sampler is by a release that was paid for: nothing is spent.

    The evaluation's directory notes it, so that its page lists all that were judged.
    """
    from silosynth.server.report import held_facts

    sampler = what / SAMPLER if what.is_dir() else what
    if not sampler.is_file():
        raise InvalidArgument(f"{what} is no sampler and no run that has ended")
    name = what.resolve().name if what.is_dir() else what.stem
    directory = find_directory(evaluation)
    facts = describe_distance(judge_candidate(directory, sampler, name=name))
    for line in judgement_words(facts):
        say(line)
    about = {"people": read_found(directory)["people"], "gain": None, "auc": {}}
    return JudgedWith(facts=facts, measures=held_measures(held_facts(facts | about)))


def _measured(directory: Path, trained: Plan) -> Sequence[Measurement]:
    """Return what a run released of pairs, to choose witness cells by; nothing of a generator."""
    schema = load_schema(directory / "schema.yaml")
    state = read_state(directory, plan=trained, schema=schema)
    if state.stage not in (Stage.FIT, Stage.DELIVER, Stage.ENDED) or trained.chosen.whole_rows:
        return ()
    return finish(state).measurements
