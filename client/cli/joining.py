"""The commands by which a silo comes into a federation, and sees who is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.client.cli.options import (
    POLICY,
    DatasetName,
    MostDelta,
    MostEpsilon,
    NewTable,
    PersonColumn,
    PolicyPath,
    RowsPerPerson,
)
from silosynth.client.desk import Command, Question, open_desk
from silosynth.client.policy import NewSilo, load_policy
from silosynth.client.silo import Joining, ask_for_new_key, ask_to_join, check_kit, take_kit
from silosynth.common.cli import Json, emit, say
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import read_named
from silosynth.common.roster import MOST_KIT_BYTES, key_words, open_kit, same_words

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Where the silo's files go.")]
Project = Annotated[str, typer.Option(help="The project whose roster it is.")]


def register_joining(groups: dict[str, typer.Typer]) -> None:
    """Add the commands to the group ``silo``."""
    silo = groups["silo"]
    silo.command("join")(silo_join)
    silo.command("take-kit")(silo_take_kit)
    silo.command("new-key")(silo_new_key)
    silo.command("roster")(silo_roster)


def silo_join(
    directory: Directory,
    name: Annotated[str, typer.Option(help="The silo's name, as in plans.")],
    project: Project = "default",
    as_json: Json = False,
) -> None:
    """Make a new silo's keys and its request to join, for the coordinator.

    The request holds public keys alone. Tell the four words to whoever calls you about it; the
    coordinator answers with a kit, for 'silo take-kit'.

    [dim]silosynth silo join east --name east[/dim]
    """
    joining = ask_to_join(directory, name=name, project=project)
    say(f"wrote {joining.path}: send it to the coordinator, and wait for the kit")
    _tell_words(joining, as_json=as_json)


def silo_new_key(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the request.")],
    supernode: Annotated[Path, typer.Option(help="The SuperNode's public key, supernode.pub.")],
    policy: PolicyPath = POLICY,
    project: Project = "default",
    lost: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The public key of now, where the private one is gone."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make another identity for a silo that is in the roster, and the request to put it there.

    The key of now signs that too. Where it is lost, the other silos' persons are told so.

    [dim]silosynth silo new-key north.join --supernode relay/supernode.pub[/dim]
    """
    joining = ask_for_new_key(
        load_policy(policy), project=project, supernode=supernode, out=out, lost=lost
    )
    asked = joining.request.asked
    say(f"wrote {joining.path}: send it to the coordinator, for 'silosynth roster replace'")
    say(f'then write key = "{joining.key}" and previous_keys = ["{asked.replaces}"], after')
    say("those that are there, under [silo] of the policy, and restart this gateway")
    _tell_words(joining, as_json=as_json)


def silo_take_kit(
    directory: Directory,
    kit: Annotated[Path, typer.Option(help="What the coordinator sent.")],
    table: NewTable,
    schema: Annotated[
        Path | None, typer.Option(help="The schema, where the kit is not to bring it.")
    ] = None,
    dataset: DatasetName = "default",
    epsilon: MostEpsilon = 3.0,
    delta: MostDelta = 1e-6,
    person_column: PersonColumn = None,
    rows_per_person: RowsPerPerson = 1,
    words: Annotated[
        str | None, typer.Option(help="The coordinator's four words, told by telephone.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take it without being asked.")] = False,
    as_json: Json = False,
) -> None:
    """Take the coordinator's kit: policy, schema, CA and the relay's settings of a new silo.

    It shows four words of the coordinator's key and of each silo's. Compare them by telephone: your
    masks and your noise rely on these keys, and whoever sent the kit chose them.

    [dim]silosynth silo take-kit east --kit east.kit --table people.parquet[/dim]
    """
    made, change, signer = open_kit(read_named(kit, most=MOST_KIT_BYTES))
    name, _ = check_kit(directory, change)
    spoken = {made.coordinator: key_words(made.coordinator, signer)}
    say(f"coordinator {made.coordinator!r}: {spoken[made.coordinator]} ({signer})")
    for silo, key in sorted(change.silos.items()):
        if silo != name:
            say(f"silo {silo!r}: {key_words(silo, key)} ({key})")
    if words is not None and not same_words(words, spoken[made.coordinator]):
        raise InvalidArgument("those are not the words of the kit's coordinator", hint="call again")
    if words is None and not yes:
        typer.confirm("Did the coordinator tell you these words?", abort=True, err=True)
    silo_made = take_kit(
        directory,
        made,
        change,
        signer=signer,
        new=NewSilo(
            name=name,
            schema=schema or directory / "schema.yaml",
            table=table,
            dataset=dataset,
            epsilon=epsilon,
            delta=delta,
            person_column=person_column,
            rows_per_person=rows_per_person,
        ),
    )
    say(f"wrote {silo_made.policy}; read it, correct it, then run 'silosynth silo check'")
    say("compare the other silos' words as they call: approve no plan with shared noise before")
    emit({"policy": str(silo_made.policy), "silo": name, "words": spoken}, as_json=as_json)


def silo_roster(policy: PolicyPath = POLICY, as_json: Json = False) -> None:
    """Show the rosters that this silo goes by, with the words of each key.

    [dim]silosynth silo roster[/dim]
    """
    with open_desk(load_policy(policy)) as ask:
        rosters = ask(Question(command=Command.ROSTERS))["rosters"]
    for roster in rosters:
        since = f", approved by {roster['by']} at {roster['at']}" if roster["by"] else ""
        say(f"project {roster['project']!r}, version {roster['version']}{since}")
        say(f"its digest: {roster['digest']}")
        for silo in roster["silos"]:
            say(f"- {silo['silo']}: {silo['words']} ({silo['key']})")
    emit({"rosters": rosters}, as_json=as_json)


def _tell_words(joining: Joining, *, as_json: bool) -> None:
    """Tell the words of the key that is asked for."""
    asked = joining.request.asked
    words = key_words(asked.silo, asked.key)
    say(f"your four words: {words}")
    facts = {"path": str(joining.path), "key_path": str(joining.key), "public_key": asked.key}
    emit(facts | {"words": words, "replaces": asked.replaces}, as_json=as_json)
