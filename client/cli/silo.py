"""The commands of a silo's operator: ``silosynth silo ...``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from silosynth.client.cli.options import (
    POLICY,
    PolicyPath,
    TableFlags,
)
from silosynth.client.csv import sniff_dialect
from silosynth.client.desk import present_account
from silosynth.client.drafting import draft_map
from silosynth.client.maps import dump_map
from silosynth.client.policy import (
    NewSilo,
    PolicyFile,
    load_policy,
    policy_words,
    shared_rows_warnings,
)
from silosynth.client.silo import check_files, foresee_plan, init_silo, new_ledger, read_tables
from silosynth.client.source import is_text_file
from silosynth.common.audit import Account
from silosynth.common.cli import Force, Json, emit, say, with_flags
from silosynth.common.errors import InvalidArgument, SilosynthError
from silosynth.common.files import check_output, write_text
from silosynth.common.schema import load_schema
from silosynth.common.tables import load_tables


def register_silo(groups: dict[str, typer.Typer]) -> None:
    """Add the group ``silo``."""
    group = typer.Typer(
        help="Look after a silo: its policy, plans and ledger.", no_args_is_help=True
    )
    group.command("init")(with_flags(silo_init, {"about": [TableFlags]}))
    group.command("check")(silo_check)
    group.command("new-ledger")(silo_new_ledger)
    group.command("map")(silo_map)
    group.command("tables")(silo_tables)
    groups["silo"] = group


def silo_init(
    directory: Annotated[Path, typer.Argument(help="Where the silo's files go.")],
    name: Annotated[str, typer.Option(help="The silo's name, as in plans.")],
    schema: Annotated[Path, typer.Option(help="The public schema of the table.")],
    about: tuple[TableFlags],
    key: Annotated[
        Path | None, typer.Option(help="An Ed25519 key (PEM) to use; made by default.")
    ] = None,
    coordinator: Annotated[
        list[str] | None, typer.Option(help="A trusted coordinator, NAME=PUBLIC-KEY; repeat.")
    ] = None,
    peer: Annotated[
        list[str] | None, typer.Option(help="Another silo, NAME=PUBLIC-KEY; repeat.")
    ] = None,
    project: Annotated[str, typer.Option(help="The project that all of them share.")] = "default",
    as_json: Json = False,
) -> None:
    """Make a silo: a commented policy, a key, a secret and an empty ledger.

    Nothing that is there is written over. Read the policy, correct it, then run 'silo check'.

    [dim]silosynth silo init silo --name north --schema schema.yaml --table people.parquet[/dim]
    """
    new = NewSilo(
        name=name,
        **asdict(about[0]),
        schema=schema,
        key=key,
        project=project,
        coordinators=_pairs(coordinator),
        peers=_pairs(peer),
    )
    made = init_silo(directory, new)
    say(f"wrote {made.policy}; read it, correct it, then run 'silosynth silo check'")
    say(f"this silo's public key, for the coordinator and the other silos: {made.public_key}")
    emit({"policy": str(made.policy), "public_key": made.public_key}, as_json=as_json)


def silo_new_ledger(
    policy: PolicyPath = POLICY,
    as_json: Json = False,
) -> None:
    """Make the first, empty ledger in the policy's directory, for a silo that never answered.

    Where anything is in that directory it refuses: a ledger that was lost is put back from a
    backup, and an empty one in its place is refused by what the other silos know of it.

    [dim]silosynth silo new-ledger --policy /etc/silosynth/silo/silo.toml[/dim]
    """
    path = new_ledger(load_policy(policy))
    say(f"wrote {path}; keep backups of it, and never make another one for this silo")
    emit({"ledger": str(path)}, as_json=as_json)


def silo_check(
    policy: PolicyPath = POLICY,
    plan: Annotated[
        Path | None,
        typer.Option(help="A plan, signed or not: say what this silo would answer to it."),
    ] = None,
    read: Annotated[
        bool, typer.Option("--read", help="Read each table once, and say how it fits its schema.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say in plain words what a policy permits, and what it would answer to a plan.

    It spends nothing and leaves the ledger as it is, so it may run beside a gateway; with
    [bold]--plan[/bold] it asks either for what is left. It reads no table
    but with [bold]--read[/bold]; what it says then [bold]may speak of the data[/bold]. Do that
    before the first plan: what a table cannot answer is charged all the same.

    [dim]silosynth silo check --policy silo.toml --read[/dim]
    [dim]silosynth silo check --policy silo.toml --plan plan.yaml[/dim]
    """
    file = load_policy(policy)
    check_files(file)
    words = policy_words(file)
    for sentence in words:
        say(f"- {sentence}")
    warnings = shared_rows_warnings(file)
    for warning in warnings:
        say(f"warning: {warning}.")
    data: dict[str, object] = {
        "policy": str(policy),
        "words": list(words),
        "warnings": list(warnings),
    }
    if plan is not None:
        account, why = _account(file)
        foreseen = foresee_plan(file, plan, account=account)
        say(f"{plan}:")
        for sentence in foreseen.words:
            say(f"- {sentence}")
        if why is not None:
            say(f"- what is left to spend was not looked at: {why}")
        data["plan"] = {
            "answer": foreseen.answer.value,
            "words": list(foreseen.words),
            "ledger": why is None,
        }
    if read:
        found = read_tables(file)
        for name, notes in found.items():
            say(f"data set {name!r} was read and can be counted")
            for note in notes:
                say(f"- {note}")
        data["tables"] = {name: list(notes) for name, notes in found.items()}
    emit(data, as_json=as_json)


def silo_map(
    table: Annotated[Path, typer.Argument(help="The silo's own table: Parquet, CSV or Arrow.")],
    schema: Annotated[Path, typer.Option(help="The schema that all silos share.")],
    out: Annotated[Path, typer.Option(help="Where to write the draft (YAML).")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draft how a table is brought to the schema: near names, words and units, for you to correct.

    It was read off the data, so every column of it is marked [bold]unreviewed[/bold]: no gateway
    serves by it until you have checked each, and taken the marks away.

    [dim]silosynth silo map patients.csv --schema schema.yaml --out map.yaml[/dim]
    """
    check_output(out, force=force)
    dialect = sniff_dialect(table) if is_text_file(table) else None
    draft = draft_map(table, schema=load_schema(schema), dialect=dialect)
    write_text(out, dump_map(draft.silo_map), force=force)
    for note in draft.notes:
        say(f"note: {note}")
    say(f"wrote {out}; check every column, then name it as map under [[datasets]] of the policy")
    emit({"path": str(out), "unreviewed": list(draft.silo_map.drafted())}, as_json=as_json)


def silo_tables(
    folder: Annotated[Path, typer.Argument(help="The folder of the tables, a file each.")],
    schema: Annotated[Path, typer.Option(help="The schema of several tables.")],
    as_json: Json = False,
) -> None:
    """Join the tables of a folder, and say what of them would not be counted, and why.

    Rows that name nobody here, keys that stand twice, parents with more rows than the schema has.
    What it says [bold]speaks of the data[/bold]: it is for you alone. Nothing is spent.

    [dim]silosynth silo tables export/ --schema tables.yaml[/dim]
    """
    known = load_tables(schema)
    from silosynth.client.families import find_tables, survey_families  # they bring DuckDB

    words = survey_families(known, find_tables(folder, schema=known))
    for sentence in words:
        say(f"- {sentence}")
    emit({"tables": list(known.downward), "words": list(words)}, as_json=as_json)


def _account(policy: PolicyFile) -> tuple[Account | None, str | None]:
    """Return what the ledger adds up to, or why it cannot be looked at."""
    try:
        return present_account(policy), None
    except SilosynthError as err:
        return None, str(err)


def _pairs(texts: list[str] | None) -> dict[str, str]:
    """Read NAME=PUBLIC-KEY options."""
    pairs = {}
    for text in texts or ():
        name, equals, key = text.partition("=")
        if not equals or not name or name in pairs:
            raise InvalidArgument(f"{text!r} is not NAME=PUBLIC-KEY", hint="give each name once")
        pairs[name] = key
    return pairs
