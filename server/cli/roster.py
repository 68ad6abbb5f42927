"""Commands over who takes part: ``silosynth roster ...`` and ``silosynth dismiss``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Force, Json, emit, say, show_table
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import check_output, fresh_file, read_named, replace_file
from silosynth.common.roster import (
    MOST_REQUEST_BYTES,
    Asked,
    JoinRequest,
    RosterChange,
    decode_request,
    key_words,
    kit_with,
    make_change,
    same_words,
    seal_kit,
)
from silosynth.common.tables import dump_any_schema, load_any_schema
from silosynth.common.trust import SigningKey
from silosynth.server.federation import (
    Federation,
    RosterChain,
    add_change,
    begin_chain,
    chain_path,
    find_federation,
    home,
    load_roster,
    read_chain,
    write_roster,
)

FederationName = Annotated[str, typer.Option(help="The federation, from federations.toml.")]
Project = Annotated[str, typer.Option(help="The project whose roster it is.")]
Request = Annotated[
    Path, typer.Argument(metavar="REQUEST", help="What 'silosynth silo join' wrote.")
]
Start = Annotated[
    Path | None,
    typer.Option("--roster", help="The first time: the keys that every silo's policy pins now."),
]
Words = Annotated[
    str | None, typer.Option(help="The silo's four words, told by telephone; asked without it.")
]
Wait = Annotated[
    float, typer.Option(min=0, help="Seconds to wait for silos to say that they have seen it.")
]
NoSend = Annotated[
    bool, typer.Option("--no-send", help="Neither admit, dismiss nor show it: 'roster send' will.")
]
_WAIT = 60.0


def register_roster(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add the group ``roster`` and the command ``dismiss``."""
    group = typer.Typer(help="Say who takes part, silo by silo.", no_args_is_help=True)
    group.command("begin")(roster_begin)
    group.command("show")(roster_show)
    group.command("add")(roster_add)
    group.command("replace")(roster_replace)
    group.command("remove")(roster_remove)
    group.command("send")(roster_send)
    groups["roster"] = group
    app.command("dismiss")(dismiss)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """What the commands work with."""

    home: Path
    name: str
    federation: Federation
    key: SigningKey
    chain: RosterChain


def roster_begin(
    federation: FederationName,
    project: Project = "default",
    as_json: Json = False,
) -> None:
    """Begin the roster of a new federation, with no silo yet: each comes in by 'roster add'.

    Where silos pin each other's keys already, 'roster add --roster' begins with those.

    [dim]silosynth roster begin --federation hospitals[/dim]
    """
    place = home()
    found = find_federation(place, federation)
    key = SigningKey.load(found.identity)
    path = chain_path(place, federation=federation, project=project)
    begin_chain(path, {}, project=project)
    words = key_words(federation, key.public)
    say(f"the roster of project {project!r} begins in {path}, with no silo")
    say(f"your own four words, as coordinator {federation!r}: {words} ({key.public})")
    emit({"project": project, "path": str(path), "words": words}, as_json=as_json)


def roster_show(
    federation: FederationName,
    project: Project = "default",
    as_json: Json = False,
) -> None:
    """Show the roster of now with the words of each key, and the words of your own.

    [dim]silosynth roster show --federation hospitals[/dim]
    """
    desk = _desk(federation, project, start=None)
    now = desk.chain.now
    own = key_words(federation, desk.key.public)
    say(f"project {project!r}, version {now.version}; its digest: {now.digest}")
    say(f"your own four words, as coordinator {federation!r}: {own} ({desk.key.public})")
    silos = [
        {
            "silo": silo,
            "key": key,
            "words": key_words(silo, key),
            "lacks": [s.change.roster for s in desk.chain.missing(silo)],
        }
        for silo, key in sorted(now.silos.items())
    ]
    rows = [
        (str(s["silo"]), str(s["words"]), ", ".join(map(str, s["lacks"])) or "-") for s in silos
    ]
    show_table("silos", ("silo", "words", "versions to approve"), rows, numbers=False)
    facts = {"project": project, "version": now.version, "digest": now.digest, "words": own}
    path = str(write_roster(desk.chain, coordinator=desk.key.public))
    emit(facts | {"silos": silos, "roster": path}, as_json=as_json)


def roster_add(
    request: Request,
    federation: FederationName,
    out: Annotated[Path, typer.Option(help="Where to write the kit for the new silo.")],
    schema: Annotated[
        Path | None, typer.Option(help="The public schema, which the kit brings along.")
    ] = None,
    project: Project = "default",
    roster: Start = None,
    words: Words = None,
    wait: Wait = _WAIT,
    no_send: NoSend = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Let a silo come in: compare its words, sign the next roster, write its kit, tell the others.

    The other silos' persons see the change in 'silo pending', call the new silo, compare the words,
    and approve it; nobody restarts anything. The same request again changes nothing more.

    [dim]silosynth roster add east.join --federation hospitals --schema schema.yaml \\
    --out east.kit[/dim]
    """
    check_output(out, force=force)
    read = _read_request(request)
    desk = _desk(federation, project, start=roster)
    _check_project(read.asked, project)
    if desk.chain.now.silos.get(read.asked.silo) != read.asked.key:
        if read.asked.silo in desk.chain.now.silos or read.asked.replaces is not None:
            raise InvalidArgument(
                f"silo {read.asked.silo!r} has another key in the roster",
                hint="'silosynth roster replace' gives it a new one",
            )
        _compare_words(read.asked, words)
        desk = _with(desk, _gaining(desk.chain, read))
    if not desk.chain.changes:
        raise InvalidArgument(
            f"silo {read.asked.silo!r} was in the roster from the beginning", hint="it needs no kit"
        )
    _write_kit(desk, out, schema=schema, force=force)
    say(f"wrote {out}: send it to silo {read.asked.silo!r}, for 'silosynth silo take-kit'")
    own = key_words(federation, desk.key.public)
    say(f"tell it your own four words by telephone: {own}")
    standing = {} if no_send else _admit_and_send(desk, read.asked, wait=wait)
    _end(desk, standing, as_json=as_json, kit=str(out), words=own)


def roster_replace(
    request: Request,
    federation: FederationName,
    project: Project = "default",
    roster: Start = None,
    words: Words = None,
    wait: Wait = _WAIT,
    no_send: NoSend = False,
    as_json: Json = False,
) -> None:
    """Give a silo of the roster another key, as 'silo new-key' asks; the others are told.

    Receipts of the key before bind the silo still. Its old SuperNode, if that is another, connects
    no more.

    [dim]silosynth roster replace north.join --federation hospitals[/dim]
    """
    read = _read_request(request)
    desk = _desk(federation, project, start=roster)
    _check_project(read.asked, project)
    if desk.chain.now.silos.get(read.asked.silo) != read.asked.key:
        if read.by_previous is None:
            say("its key until now has NOT signed this: make sure who asks")
        _compare_words(read.asked, words)
        desk = _with(desk, _gaining(desk.chain, read))
    standing = {} if no_send else _admit_and_send(desk, read.asked, wait=wait)
    _end(desk, standing, as_json=as_json)


def roster_remove(
    silo: Annotated[str, typer.Argument(help="The silo that leaves.")],
    federation: FederationName,
    project: Project = "default",
    roster: Start = None,
    wait: Wait = _WAIT,
    no_send: NoSend = False,
    as_json: Json = False,
) -> None:
    """Let a silo leave: its SuperNode connects no more, and the others are told.

    Once they approved it, no plan with that silo is answered, nor one that had begun.

    [dim]silosynth roster remove west --federation hospitals[/dim]
    """
    from silosynth.server.federation import dismiss_nodes

    desk = _desk(federation, project, start=roster)
    if silo in desk.chain.now.silos:
        staying = {s: k for s, k in desk.chain.now.silos.items() if s != silo}
        desk = _with(desk, make_change(desk.chain.now, staying))
    elif not desk.chain.keys_of(silo):
        raise InvalidArgument(f"silo {silo!r} is not in the roster", hint="see 'roster show'")
    standing = {}
    if not no_send:
        dismiss_nodes(desk.federation, [silo])
        standing = _send(desk, wait)
    _end(desk, standing, as_json=as_json)


def roster_send(
    federation: FederationName,
    project: Project = "default",
    wait: Wait = _WAIT,
    as_json: Json = False,
) -> None:
    """Show the silos each change that they have yet to approve, and say how they stand.

    [dim]silosynth roster send --federation hospitals[/dim]
    """
    desk = _desk(federation, project, start=None)
    _end(desk, _send(desk, wait), as_json=as_json)


def dismiss(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="SuperNodes' names.")],
    federation: FederationName,
    as_json: Json = False,
) -> None:
    """Let SuperNodes connect to the SuperLink no more; 'roster remove' does this too.

    [dim]silosynth dismiss west --federation hospitals[/dim]
    """
    from silosynth.server.federation import dismiss_nodes

    gone = dismiss_nodes(find_federation(home(), federation), names)
    say(f"{gone} SuperNodes are dismissed")
    emit({"dismissed": gone}, as_json=as_json)


def _desk(federation: str, project: str, *, start: Path | None) -> _Desk:
    """Open the roster of a project, and begin it the first time."""
    place = home()
    found = find_federation(place, federation)
    key = SigningKey.load(found.identity)
    path = chain_path(place, federation=federation, project=project)
    if start is not None:
        given = load_roster(start)
        if given.coordinator != key.public:
            raise InvalidArgument(f"{start} names another coordinator's key than {found.identity}")
        begin_chain(path, given.silos, project=project)
    chain = read_chain(path, coordinator=key.public)
    return _Desk(home=place, name=federation, federation=found, key=key, chain=chain)


def _with(desk: _Desk, change: RosterChange) -> _Desk:
    """Sign a change and go on with it."""
    chain = add_change(desk.chain, change, key=desk.key)
    say(f"signed version {change.roster} of the roster: {', '.join(sorted(change.silos))}")
    return replace(desk, chain=chain)


def _gaining(chain: RosterChain, request: JoinRequest) -> RosterChange:
    """Return the change that gives a silo the key that it asks for."""
    asked = request.asked
    return make_change(chain.now, {**chain.now.silos, asked.silo: asked.key}, requests=[request])


def _read_request(path: Path) -> JoinRequest:
    """Read a request to join."""
    return decode_request(read_named(path, most=MOST_REQUEST_BYTES), origin=str(path))


def _check_project(asked: Asked, project: str) -> None:
    """Raise InvalidArgument for a request of another project."""
    if asked.project != project:
        raise InvalidArgument(
            f"the request is for project {asked.project!r}", hint=f"add --project {asked.project}"
        )


def _compare_words(asked: Asked, said: str | None) -> None:
    """Have a person compare the words of a request."""
    words = key_words(asked.silo, asked.key)
    if said is not None:
        if not same_words(said, words):
            raise InvalidArgument(
                f"those are not the words of the request of silo {asked.silo!r}",
                hint="call its operator: the file may have been changed on its way",
            )
        return
    say(f"silo {asked.silo!r} asks with the key {asked.key}; its four words: {words}")
    typer.confirm("Did its operator tell you these words by telephone?", abort=True, err=True)


def _write_kit(desk: _Desk, out: Path, *, schema: Path | None, force: bool) -> None:
    """Write the kit of whoever is new in the newest roster."""
    kit = kit_with(
        desk.chain.changes[-1].data,
        coordinator=desk.name,
        superlink=desk.federation.superlink,
        ca=desk.federation.ca.read_text(encoding="ascii"),
        schema_text=None if schema is None else dump_any_schema(load_any_schema(schema)),
    )
    with fresh_file(out, force=force) as part:
        part.write_bytes(seal_kit(kit, key=desk.key))


def _admit_and_send(desk: _Desk, asked: Asked, *, wait: float) -> dict[str, str]:
    """Let the silo's SuperNode connect, and no other of its name; show the change to all."""
    from silosynth.server.federation import admit_nodes, dismiss_nodes

    path = desk.chain.directory / f"{asked.silo}.pub"
    replace_file(path, asked.supernode.encode() + b"\n", mode=0o644)
    admit_nodes(desk.federation, {asked.silo: path})
    dismiss_nodes(desk.federation, [asked.silo], keep=path)
    return _send(desk, wait)


def _send(desk: _Desk, wait: float) -> dict[str, str]:
    """Show the silos what they lack."""
    # Flower takes seconds to import, which only commands that use it should.
    from silosynth.server.federation import send_changes

    return send_changes(desk.chain, desk.federation, home=desk.home, wait_seconds=wait)


def _end(desk: _Desk, standing: dict[str, str], *, as_json: bool, **more: str) -> None:
    """Say how the silos stand, and where the keys for plans are."""
    for silo, words in sorted(standing.items()):
        say(f"- {silo}: {words}")
    path = write_roster(desk.chain, coordinator=desk.key.public)
    say(f"for plans: --roster {path}")
    now = desk.chain.now
    facts = {"version": now.version, "digest": now.digest, "roster": str(path)}
    emit({**facts, **more, "silos": standing}, as_json=as_json)
