"""The coordinator's commands."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.certificate.certify import certify_plan
from silosynth.common.certificate.words import trust_words
from silosynth.common.cli.console import Force, Json, emit, say, show_table
from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import check_output, write_text
from silosynth.common.names import machine_key
from silosynth.common.plan.budget import check_budget, check_promise
from silosynth.common.plan.check import check_plan
from silosynth.common.plan.plan import Method, OnAbsent, PhaseName, TrustMode, dump_plan, load_plan
from silosynth.common.plan.training import Optimiser
from silosynth.common.schema.schema import load_schema
from silosynth.server.cli.runs import register_runs
from silosynth.server.cli.setup import admit, certs
from silosynth.server.cli.training import (
    NetworkKind,
    NetworkOptions,
    describe_network,
    read_network,
    read_rate,
    read_sizes,
)
from silosynth.server.federation.roster_file import load_roster, with_roster
from silosynth.server.planning.advice import advise, remarks
from silosynth.server.planning.forecast import Forecast, forecast
from silosynth.server.planning.planner import AIM_ROUNDS, ORDER, new_plan
from silosynth.server.planning.training import TrainingChoice


def register(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add the coordinator's commands."""
    groups["plan"].command("new")(plan_new)
    groups["plan"].command("show")(plan_show)
    register_runs(app)
    app.command("certs")(certs)
    app.command("admit")(admit)


def plan_new(
    schema: Annotated[Path, typer.Argument(help="The schema of the silos' tables.")],
    epsilon: Annotated[float, typer.Option(help="Most privacy loss of one person, in one silo.")],
    delta: Annotated[float, typer.Option(help="Probability that this does not hold.")],
    silos: Annotated[str, typer.Option(help="Names of the silos, with commas between.")],
    out: Annotated[Path, typer.Option(help="Where to write the plan (YAML).")],
    method: Annotated[
        Method | None,
        typer.Option(help="What is measured or trained; without it, what suits the schema."),
    ] = None,
    workload: Annotated[
        str | None,
        typer.Option(help="For fixed, or what aim is for: marginals as 'age,sex;age,income'."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="For aim: a whole number a marginal, such as '3,1'.")
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            help="For aim: how often it measures, 1 to 3. For dp-sgd: rounds of training."
        ),
    ] = None,
    max_model_mb: Annotated[
        int | None, typer.Option(help="Most MiB of the model's tables; aim stays below.")
    ] = None,
    frequencies: Annotated[
        int | None,
        typer.Option(help="For one-shot: how many random features; 4096, or 512 of images."),
    ] = None,
    order: Annotated[
        int, typer.Option(help="For one-shot: attributes that one feature looks at, 1 or 2.")
    ] = ORDER,
    network: Annotated[
        NetworkKind | None, typer.Option(help="For dp-sgd: the kind of network.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="For dp-sgd: numbers in a layer.")] = None,
    layers: Annotated[int | None, typer.Option(help="For dp-sgd: layers of the network.")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="For a pretrained network: the folder of its checkpoint, not sent."),
    ] = None,
    lora_rank: Annotated[
        int | None, typer.Option(help="For a pretrained network: the rank of what is learnt.")
    ] = None,
    text_tokens: Annotated[
        int | None,
        typer.Option(help="For a pretrained network: most tokens of a text; its max_bytes if none"),
    ] = None,
    local_steps: Annotated[
        int | None, typer.Option(help="For dp-sgd with own noise: a silo's steps in a round.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="For dp-sgd: each person's chance in a step, such as '1/20'.")
    ] = None,
    clip: Annotated[float, typer.Option(help="For dp-sgd: most norm of a row's gradient.")] = 1.0,
    optimiser: Annotated[
        Optimiser | None, typer.Option(help="For dp-sgd: adam and sgd are for shared noise.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="For dp-sgd.")] = None,
    local_learning_rate: Annotated[
        float | None, typer.Option(help="For dp-sgd with own noise: of a silo's steps.")
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(help="For dp-sgd: the silos' public numbers of rows, as 'a=500,b=700'."),
    ] = None,
    rows_per_person: Annotated[int, typer.Option(help="Most rows of one person in a silo.")] = 1,
    unit: Annotated[str, typer.Option(help="What a row stands for, in a word.")] = "row",
    on_absent: Annotated[
        OnAbsent | None, typer.Option(help="What to do when a silo stays away.")
    ] = None,
    trust: Annotated[
        TrustMode, typer.Option(help="Whether each silo adds all the noise, or a share.")
    ] = TrustMode.OWN,
    colluders: Annotated[
        int, typer.Option(help="Shared: silos that may work with the coordinator.")
    ] = 0,
    absent: Annotated[int, typer.Option(help="Shared: silos that may be missing.")] = 0,
    attempts: Annotated[
        int, typer.Option(help="Shared: how often a sum may be begun; each is paid for.")
    ] = 1,
    rows_at_most: Annotated[
        int | None, typer.Option(help="Shared: a public bound on all rows, for 4 bytes a cell.")
    ] = None,
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
    check_promise(epsilon=epsilon, delta=delta)
    described = load_schema(schema)
    plan = new_plan(
        described,
        epsilon=epsilon,
        delta=delta,
        silos=read_silo_names(silos),
        method=method,
        workload=_read_workload(workload),
        frequencies=frequencies,
        order=order,
        weights=_read_weights(weights),
        rounds=AIM_ROUNDS if rounds is None else rounds,
        training=TrainingChoice(
            architecture=read_network(
                NetworkOptions(
                    kind=network,
                    width=width,
                    layers=layers,
                    checkpoint=checkpoint,
                    rank=lora_rank,
                    tokens=text_tokens,
                ),
                described,
            ),
            rounds=rounds,
            local_steps=local_steps,
            rate=read_rate(rate),
            clip=clip,
            optimiser=optimiser,
            learning_rate=learning_rate,
            local_learning_rate=local_learning_rate,
            sizes=read_sizes(sizes),
        ),
        max_model_mb=max_model_mb,
        rows_per_person=rows_per_person,
        unit=unit,
        on_absent=on_absent,
        plan_id=plan_id,
        trust=trust,
        colluders=colluders,
        absent=absent,
        attempts=attempts,
        rows_at_most=rows_at_most,
    )
    if roster is not None:
        plan = with_roster(plan, load_roster(roster))
    write_text(out, dump_plan(plan), force=force)
    say(f"wrote {out}: plan {plan.id}, {len(plan.silos)} silos, epsilon {epsilon:g}")
    if method is None and workload is None:
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
    if plan.trust is TrustMode.SHARED:
        for sentence in trust_words(certify_plan(plan)):
            say(sentence)
    for sentence in describe_network(plan):
        say(sentence)
    for note in remarks(described, method=plan.method):
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
        },
        as_json=as_json,
    )


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


def _read_weights(text: str | None) -> tuple[int, ...]:
    """Read ``3,1`` as two weights."""
    try:
        return tuple(int(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        raise InvalidArgument(
            f"the weights {text!r} are not whole numbers", hint="write --weights 3,1"
        ) from None


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


def _read_workload(text: str | None) -> tuple[Clique, ...]:
    """Read ``a,b;a,c`` as cliques."""
    if text is None:
        return ()
    cliques = [tuple(a.strip() for a in part.split(",")) for part in text.split(";") if part]
    if not cliques or any(not all(c) for c in cliques):
        raise InvalidArgument(
            f"--workload {text!r} is not a list of marginals",
            hint="write it as 'age,sex;age,income'",
        )
    return tuple(cliques)


def _size(count: int) -> str:
    """Spell a number of bytes."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
