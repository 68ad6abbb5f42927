"""The command that holds a synthetic table against real rows, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import typer

from silosynth.common.cli.console import Force, Json, emit, say
from silosynth.common.cli.flags import with_flags
from silosynth.common.cli.several.sample import refuse_of_tables
from silosynth.common.errors import InvalidArgument

if TYPE_CHECKING:
    from silosynth.common.evaluate import Gate, OpenRun
    from silosynth.common.report import Audit, EvaluationFacts, Measure, ReportFacts

_FAILED = 1
GateFile = Annotated[
    Path | None,
    typer.Option("--gate", help="Bars to pass, in YAML; exit code 1 when one is missed."),
]
_OF_ONE_TABLE = ("target", "group", "attack", "audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeFlags:
    """What a table is judged by, beside the real rows."""

    control: Annotated[Path | None, "Real rows of other people; without them scores flatter."] = (
        None
    )
    target: Annotated[list[str] | None, "A column to predict; repeat for more."] = None
    group: Annotated[list[str] | None, "A column whose groups are judged by themselves."] = None
    attack: Annotated[
        bool, typer.Option("--attack", help="Try to tell who was in it; needs --control.")
    ] = False
    audit: Annotated[
        Path | None, "What 'audit plan --json' found, to be shown beside what is claimed."
    ] = None
    gate: GateFile = None
    seed: Annotated[int, typer.Option(min=0, help="Seed of rows, folds and questions.")] = 1
    held_out: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="EVAL_RUN",
            help="Judge a run by what another run's evaluation released: no real row is needed.",
        ),
    ] = None


def _no_run(_: Path) -> None:
    """Open no run's directory: that takes the coordinator's part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedWith:
    """What another run's evaluation says of a sampler, as data and for a gate."""

    facts: Mapping[str, object]
    measures: tuple[Measure, ...]


def _no_judge(_: Path, __: str) -> JudgedWith:
    """Judge nothing by a release: that takes the coordinator's part."""
    raise InvalidArgument("--with needs the coordinator's part", hint="install silosynth[server]")


def evaluate_command(
    open_run: OpenRun = _no_run,
    judge_with: Callable[[Path, str], JudgedWith] = _no_judge,
) -> Callable[..., None]:
    """Return the command.

    Args:
        open_run: reads a run's directory again, where the coordinator's part is installed.
        judge_with: judges a run's sampler by what another run's evaluation released.
    """

    def evaluate(
        what: Annotated[
            Path,
            typer.Argument(
                metavar="RUN|SAMPLER|TABLE",
                help="A run's directory, sampler or table; or a folder of several tables.",
            ),
        ],
        by: tuple[JudgeFlags],
        real: Annotated[
            Path | None,
            typer.Option(
                help="Real rows: .parquet, .csv or .arrow; a folder of them for several tables."
            ),
        ] = None,
        out: Annotated[
            Path | None, typer.Option(help="Where to write report.html and report.json.")
        ] = None,
        schema: Annotated[
            Path | None, typer.Option(help="What the columns of a TABLE are; a sampler knows.")
        ] = None,
        across: Annotated[
            list[str] | None,
            typer.Option(
                help="Of several tables, a rule of a row and of those above it, as "
                "'patients.born <= visits.admitted'; repeat for more."
            ),
        ] = None,
        force: Force = False,
        as_json: Json = False,
    ) -> None:
        """Is it close, is it useful, is it private, can it be made again? Here, with real rows.

        The report is not differentially private: it must stay where the real rows are.

        Of several tables, how they hang together is judged, beside tables with their keys shuffled.

        [dim]silosynth evaluate run/ --real mine.parquet --target income --group sex --out o/[/dim]
        [dim]silosynth evaluate run2/ --with EVAL_RUN[/dim]
        [dim]silosynth evaluate other.csv --real mine.csv --control held.csv --attack --out o/[/dim]
        """
        from silosynth.common.cli.several.judge import evaluate_tables, hand_out_tables
        from silosynth.common.evaluate import Wish, evaluate_file  # scikit-learn is in an extra

        flags = by[0]
        if flags.held_out is not None:
            _refuse_beside_release(flags, real=real, out=out)
            _hand_out_judged(
                flags.gate, lambda of: judge_with(what, of), flags.held_out, as_json=as_json
            )
            return
        if real is None or out is None:
            raise InvalidArgument(
                "an evaluation needs --real and --out, or --with", hint="see: evaluate --help"
            )
        if real.is_dir():
            refuse_of_tables(**{f: getattr(flags, f) for f in _OF_ONE_TABLE})
        bars, audit = open_bars(flags, out=out, force=force)
        keep_no_memory()
        if real.is_dir():
            several = evaluate_tables(
                what,
                real=real,
                control=flags.control,
                schema=schema,
                across=across or (),
                seed=flags.seed,
            )
            hand_out_tables(several, bars=bars, out=out, force=force, as_json=as_json)
            return
        if across:
            raise InvalidArgument("--across is for several tables", hint="leave it out")
        facts = evaluate_file(
            what,
            real=real,
            control=flags.control,
            schema=schema,
            wish=Wish(targets=flags.target or (), groups=flags.group or (), attack=flags.attack),
            audit=audit,
            seed=flags.seed,
            tell=say,
            open_run=open_run,
        )
        hand_out(facts, bars=bars, out=out, force=force, as_json=as_json)

    return with_flags(evaluate, {"by": [JudgeFlags]})


def _refuse_beside_release(flags: JudgeFlags, *, real: Path | None, out: Path | None) -> None:
    """Raise InvalidArgument for options that a release of people held out has no use for."""
    beside = {
        "--real": real,
        "--out": out,
        "--control": flags.control,
        "--target": flags.target,
        "--group": flags.group,
        "--attack": flags.attack or None,
        "--audit": flags.audit,
    }
    if given := [name for name, value in beside.items() if value is not None]:
        raise InvalidArgument(
            f"--with needs no real row, and takes no {given[0]}",
            hint="'silosynth report RUN --evaluation EVAL_RUN' writes a page",
        )


def _hand_out_judged(
    gate: Path | None, judge: Callable[[str], JudgedWith], of: str, *, as_json: bool
) -> None:
    """Judge by a release, hold a gate against it and say what was missed; exit 1 for a miss."""
    bars = read_gate(gate)
    judged = judge(of)
    missed = hold_bars(bars, judged.measures)
    emit({**judged.facts, **({"missed": missed} if missed else {})}, as_json=as_json)
    end_missed(missed)


def keep_no_memory() -> None:
    """Let Arrow give back at once what it needs no more: a report reads a lot and keeps little.

    Its own pool would keep 50 MB of what decoding 260,000 rows took.
    """
    pa.set_memory_pool(pa.system_memory_pool())


def read_gate(path: Path | None) -> Gate | None:
    """Read a gate where one is named; raise InvalidArgument naming the fault."""
    from silosynth.common.evaluate import load_gate

    return None if path is None else load_gate(path)


def hold_bars(bars: Gate | None, measures: Sequence[Measure]) -> list[str]:
    """Hold a gate against what was measured; say and return what was missed."""
    from silosynth.common.evaluate import hold_gate

    missed = [] if bars is None else list(hold_gate(bars, measures))
    for line in missed:
        say(f"gate missed: {line}")
    return missed


def end_missed(missed: Sequence[str]) -> None:
    """End a command with exit code 1 where its gate was missed."""
    if missed:
        raise typer.Exit(_FAILED)


def open_bars(flags: JudgeFlags, *, out: Path, force: bool) -> tuple[Gate | None, Audit | None]:
    """Read gate and audit, and look at the place, before any row is read."""
    from silosynth.common.evaluate import load_audit
    from silosynth.common.report import check_place

    if flags.attack and flags.control is None:
        raise InvalidArgument(
            "an attack needs a control", hint="give rows of other people with --control"
        )
    check_place(out, force=force)
    return (
        read_gate(flags.gate),
        None if flags.audit is None else load_audit(flags.audit),
    )


def hand_out(
    facts: ReportFacts, *, bars: Gate | None, out: Path, force: bool, as_json: bool
) -> None:
    """Hold a gate against what was found, write the report, and say both; exit 1 for a miss."""
    from silosynth.common.report import write_report

    found = facts.evaluation
    if found is None:
        raise InvalidArgument("nothing was compared", hint="give tables of 200 rows or more")
    missed = hold_bars(bars, found.measures)
    page, data = write_report(facts, out, force=force)
    _tell(found, page)
    lamps = {lamp.axis.value: lamp.state.value for lamp in found.lamps}
    written = {"html": str(page), "json": str(data), "lamps": lamps, "missed": missed}
    emit(written, as_json=as_json)
    end_missed(missed)


def _tell(found: EvaluationFacts, page: Path) -> None:
    """Say the four answers, and where the page lies."""
    for lamp in found.lamps:
        say(f"{lamp.axis.value}, {lamp.state.value}: {lamp.sentence}")
    say(f"wrote {page}; it is private, like the real rows")
