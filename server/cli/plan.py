"""The coordinator's commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from silosynth.common.certificate import certify_plan, trust_words
from silosynth.common.cli import Force, Json, emit, say, show_table, with_flags
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import check_output, write_text
from silosynth.common.names import machine_key
from silosynth.common.plan import (
    Method,
    OnAbsent,
    PhaseName,
    Plan,
    TrustMode,
    check_budget,
    check_plan,
    check_promise,
    dump_plan,
    lack_words,
    load_plan,
)
from silosynth.common.schema import load_schema
from silosynth.server.cli.dummy import dummy
from silosynth.server.cli.prune import prune
from silosynth.server.cli.replicate import register_replicate
from silosynth.server.cli.report import register_report
from silosynth.server.cli.roster import register_roster
from silosynth.server.cli.runs import register_runs
from silosynth.server.cli.setup import admit, nodes, register_certs
from silosynth.server.cli.terms import TermFlags
from silosynth.server.federation import load_roster, with_roster
from silosynth.server.methods import METHODS, Flags
from silosynth.server.planning import Forecast, advise, new_plan, remarks, what_helps
from silosynth.server.planning.forecast import forecast


def register(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add the coordinator's commands."""
    flags: dict[str, Sequence[type]] = {
        "budget": (BudgetFlags,),
        "said": METHOD_FLAGS,
        "person": (PersonFlags,),
        "trust": (TrustFlags,),
        "terms": (TermFlags,),
    }
    groups["plan"].command("new")(with_flags(plan_new, flags))
    groups["plan"].command("show")(plan_show)
    register_runs(app)
    register_report(app)
    register_replicate(app)
    register_roster(app, groups)
    register_certs(groups)
    app.command("prune")(prune)
    app.command("dummy")(dummy)
    app.command("admit")(admit)
    app.command("nodes")(nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetFlags:
    """What the command line says of the promise."""

    epsilon: Annotated[float, "Most privacy loss of one person, in one silo."]
    delta: Annotated[float, "Probability that this does not hold."]
    silos: Annotated[str, "Names of the silos, with commas between."]

    def read(self) -> tuple[str, ...]:
        """Return the keys of the silos."""
        return read_silo_names(self.silos)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonFlags:
    """What the command line says of persons and of silos that stay away."""

    rows_per_person: Annotated[int, "Most rows of one person in a silo."] = 1
    unit: Annotated[str, "What a row stands for, in a word."] = "row"
    on_absent: Annotated[OnAbsent | None, "What to do when a silo stays away."] = None
    lacks: Annotated[
        str | None,
        "Columns that silos of other people lack: 'south=thal,ca;west=slope'.",
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFlags:
    """What the command line says of whose noise protects whom."""

    trust: Annotated[TrustMode, "Whether each silo adds all the noise, or a share."] = TrustMode.OWN
    colluders: Annotated[int, "Shared: silos that may work with the coordinator."] = 0
    absent: Annotated[int, "Shared: silos that may be missing."] = 0
    attempts: Annotated[int, "Shared: how often a sum may be begun; each is paid for."] = 1
    rows_at_most: Annotated[
        int | None, "A public bound on all rows: what values cost follows it, and bytes of sums."
    ] = None


def read_lacks(text: str | None) -> dict[str, tuple[str, ...]] | None:
    """Read ``south=thal,ca;west=slope`` as the columns that each silo lacks."""
    lacks: dict[str, tuple[str, ...]] = {}
    for part in (p for p in (text or "").split(";") if p.strip()):
        silo, equals, columns = part.partition("=")
        names = tuple(c.strip() for c in columns.split(","))
        if not equals or not silo.strip() or not all(names) or silo.strip() in lacks:
            raise InvalidArgument(
                f"--lacks {text!r} does not say which columns silos lack",
                hint="write it as 'south=thal,ca;west=slope', each silo once",
            )
        lacks[silo.strip()] = names
    return lacks or None


METHOD_FLAGS = tuple(recipe.flags for recipe in METHODS.values() if recipe.flags is not None)


def plan_new(
    schema: Annotated[Path, typer.Argument(help="The schema of the silos' tables.")],
    budget: tuple[BudgetFlags],
    out: Annotated[Path, typer.Option(help="Where to write the plan (YAML).")],
    method: Annotated[
        Method | None,
        typer.Option(help="What is measured or trained; without it, what suits the schema."),
    ] = None,
    *,
    said: Sequence[Flags],
    person: tuple[PersonFlags],
    trust: tuple[TrustFlags],
    terms: tuple[TermFlags],
    plan_id: Annotated[str | None, typer.Option("--id", help="A name of your own.")] = None,
    roster: Annotated[
        Path | None, typer.Option(help="The silos' public keys; a federation needs them.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a plan from a budget: how many marginals, and how much noise each.

    [dim]silosynth plan new schema.yaml --epsilon 1 --delta 1e-6 --silos a,b --out plan.yaml[/dim]
    """
    check_output(out, force=force)
    promise = budget[0]
    check_promise(epsilon=promise.epsilon, delta=promise.delta)
    described = load_schema(schema)
    choices: dict[str, Any] = {}
    for flags in said:
        choices |= flags.read(described)
    plan = new_plan(
        described,
        epsilon=promise.epsilon,
        delta=promise.delta,
        silos=promise.read(),
        method=method,
        plan_id=plan_id,
        **(asdict(person[0]) | {"lacks": read_lacks(person[0].lacks)}),
        **asdict(trust[0]),
        **choices,
    )
    plan = terms[0].apply(plan)
    if roster is not None:
        plan = with_roster(plan, load_roster(roster))
    write_text(out, dump_plan(plan), force=force)
    say(f"wrote {out}: plan {plan.id}, {len(plan.silos)} silos, epsilon {promise.epsilon:g}")
    if method is None and not plan.workload:
        say(f"method {plan.method.value}: {advise(described).reason}")
    notes = tuple(remarks(described, method=plan.method))
    for note in notes:
        say(note)
    say(f"next: silosynth plan show {out} --schema {schema}")
    emit(
        {
            "path": str(out),
            "id": plan.id,
            "digest": plan.digest,
            "method": plan.method.value,
            "remarks": list(notes),
        },
        as_json=as_json,
    )


def plan_show(
    path: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan in YAML or JSON.")],
    schema: Annotated[Path, typer.Option(help="The schema that the plan is for.")],
    rows: Annotated[
        int | None, typer.Option(min=1, help="About how many rows in all: your public guess.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a plan will spend, ask and reach. Nothing is spent by looking.

    [dim]silosynth plan show plan.yaml --schema schema.yaml --rows 20000[/dim]
    """
    plan, described = load_plan(path), load_schema(schema)
    check_plan(plan, described)
    epsilon = check_budget(plan)
    seen = forecast(plan, described, rows=rows)
    privacy = plan.privacy
    say(
        f"plan {plan.id}: {len(plan.silos)} silos, method {plan.method.value}, "
        f"{plan.trust.value} noise"
    )
    say(
        f"each silo spends epsilon {epsilon:.4g} (of {privacy.epsilon:g}) at delta "
        f"{privacy.delta:g} for one {privacy.unit}, at most {privacy.rows_per_person} rows a person"
    )
    if plan.masked:
        for sentence in trust_words(certify_plan(plan)):
            say(sentence)
    for sentence in (*lack_words(plan), *_value_words(plan), *METHODS[plan.method].describe(plan)):
        say(sentence)
    helps = what_helps(plan, described, rows=rows) if rows is not None else ()
    for note in (*remarks(described, method=plan.method), *helps):
        say(note)
    _show_phases(seen)
    _show_cells(seen, largest=rows is None)
    emit(
        {
            "id": plan.id,
            "digest": plan.digest,
            "epsilon": epsilon,
            "delta": privacy.delta,
            "forecast": asdict(seen),
            "helps": list(helps),
        },
        as_json=as_json,
    )


def _value_words(plan: Plan) -> Iterator[str]:
    """Say of which numbers values are looked at, and how finely."""
    trees = plan.values or {}
    if trees:
        cells = sum(tree.leaves.cells for tree in trees.values())
        joined = [name for name, tree in trees.items() if tree.digits()]
        more = f"; {len(joined)} of them once more where many rows are" if joined else ""
        yield f"values of {len(trees)} numbers are looked at in {cells:,} cells{more}"


def _show_phases(seen: Forecast) -> None:
    """Show how the budget is split, and what it buys."""
    header = ("phase", "budget", "marginals", "cells", "largest", "message", "noise", "distance")
    rows = [
        (
            p.name.value,
            f"{p.rho_share:.0%}",
            str(p.marginals),
            f"{p.cells:,}",
            f"{p.largest_cells:,}",
            _size(p.message_bytes),
            f"± {p.noise:,.1f} rows" if p.name is not PhaseName.TRAINING else "-",
            "-" if p.distance is None else f"{p.distance:.3f}",
        )
        for p in seen.phases
    ]
    show_table("phases (cells and messages are upper bounds)", header, rows)


def _show_cells(seen: Forecast, *, largest: bool) -> None:
    """Show messages, memory, time, and what the numbers mean."""
    say(f"{seen.messages} messages; the model takes at most {_size(seen.model_bytes)}")
    if seen.seconds is not None:
        say(f"a simulation on two cores takes about {seen.seconds:.0f} s")
    say("noise is the standard deviation of one cell, summed over the silos")
    if largest:
        say("add --rows for the expected time and distance")
    else:
        say("distance is what the noise alone adds to a measured marginal, before fitting")


def read_silo_names(text: str) -> tuple[str, ...]:
    """Return the keys of silos whose names people gave, and say where a key is another text."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    keys = [machine_key(name) for name in names]
    for name, key in zip(names, keys, strict=True):
        if name != key:
            say(f"silo {name!r} is written {key} in the plan, and in the names of its files")
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise InvalidArgument(
            f"silo {twice[0]!r} stands twice", hint="give one of them another name"
        )
    return tuple(keys)


def _size(count: int) -> str:
    """Spell a number of bytes."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
