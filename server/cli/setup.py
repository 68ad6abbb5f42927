"""Commands that set a federation up: development keys, and who may connect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Json, emit, say, show_table
from silosynth.common.errors import InvalidArgument
from silosynth.common.reach import days_left, expiry_words, served_days_left
from silosynth.server.federation import (
    Federation,
    add_federation,
    check_development,
    config_path,
    find_federation,
    home,
    load_federations,
    make_certs,
    renew_certs,
)


def register_certs(groups: dict[str, typer.Typer]) -> None:
    """Add the group ``certs``, which by itself makes what a development federation needs."""
    group = typer.Typer(invoke_without_command=True, no_args_is_help=True)
    group.callback()(certs)
    group.command("renew")(certs_renew)
    groups["certs"] = group


def certs(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="A new directory for certificates and keys.")
    ] = None,
    silos: Annotated[
        str | None, typer.Option(help="Names of the silos, with commas between.")
    ] = None,
    hosts: Annotated[
        str, typer.Option(help="Names and addresses that the SuperLink is reached by.")
    ] = "localhost,127.0.0.1",
    federation: Annotated[
        str, typer.Option(help="What to call the federation in federations.toml.")
    ] = "development",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The SuperLink's port.")] = 9092,
    as_json: Json = False,
) -> None:
    """Make a development CA, certificates and keys, and name the federation that uses them.

    Everybody's private keys lie in one directory, which no real federation does: there each silo
    makes its own. So this refuses where a production CA is configured.

    [dim]silosynth certs --out certs --silos north,south,west[/dim]
    """
    if context.invoked_subcommand is not None:
        return
    if out is None or silos is None:
        raise InvalidArgument("--out and --silos are needed", hint="see 'silosynth certs --help'")
    directory = home()
    check_development(directory)
    if federation in load_federations(directory):
        raise InvalidArgument(
            f"federation {federation!r} is in {config_path(directory)} already",
            hint="choose another name with --federation",
        )
    names = _split(hosts)
    made = make_certs(out.absolute(), silos=_split(silos), hosts=names)
    add_federation(
        directory,
        federation,
        Federation(
            superlink=f"{names[0]}:{port}",
            ca=made.ca,
            identity=made.identity,
            superexec_secret=made.secret,
        ),
    )
    say(f"wrote {out}: for development alone, since everybody's private keys are in it")
    say(f"federation {federation!r} is in {config_path(directory)}")
    emit(
        {"directory": str(out), "roster": str(made.roster), "federation": federation},
        as_json=as_json,
    )


def certs_renew(
    directory: Annotated[Path, typer.Argument(help="What 'silosynth certs' made.")],
    as_json: Json = False,
) -> None:
    """Make the SuperLink's certificate anew for another year, with the CA of its directory.

    Names, addresses and keys stay as they are. The CA's own certificate is made anew too where it
    ends within 30 days; give silos the new ca.pem before the old one ends: until then both do.
    Restart the SuperLink afterwards. A certificate of your own CA is renewed where it was made.

    [dim]silosynth certs renew certs[/dim]
    """
    made = renew_certs(directory.absolute())
    for path in made:
        say(f"wrote {path}, for another year")
    say("restart the SuperLink: it goes by what it read at its start")
    emit({"written": [str(p) for p in made]}, as_json=as_json)


def admit(
    keys: Annotated[
        list[str], typer.Argument(metavar="NAME=KEY.pub...", help="SuperNodes' public keys.")
    ],
    federation: Annotated[str, typer.Option(help="The federation, from federations.toml.")],
    as_json: Json = False,
) -> None:
    """Let SuperNodes connect to the SuperLink: once each, it remembers them.

    [dim]silosynth admit north=certs/silos/north/supernode.pub --federation development[/dim]
    """
    # Flower takes seconds to import, which only commands that use it should.
    from silosynth.server.federation import admit_nodes

    pairs = [key.partition("=") for key in keys]
    if any(not path for _, _, path in pairs):
        raise InvalidArgument("a key is written NAME=FILE", hint="such as north=supernode.pub")
    found = find_federation(home(), federation)
    admitted = admit_nodes(found, {name: Path(path) for name, _, path in pairs})
    rows = [(name, str(node)) for name, node in admitted.items()]
    show_table("admitted", ("silo", "node"), rows, numbers=False)
    emit({"nodes": {n: str(i) for n, i in admitted.items()}}, as_json=as_json)


def nodes(
    federation: Annotated[str, typer.Option(help="The federation, from federations.toml.")],
    as_json: Json = False,
) -> None:
    """Show which silos are connected to the SuperLink, and certificates that end soon.

    [dim]silosynth nodes --federation development[/dim]
    """
    # Flower takes seconds to import, which only commands that use it should.
    from silosynth.server.federation import list_nodes

    found = find_federation(home(), federation)
    known = list_nodes(found)
    show_table("nodes", ("silo", "status"), sorted(known.items()), numbers=False)
    if not known:
        say("no SuperNode was admitted; see 'silosynth admit'")
    ends = served_days_left(found.superlink, ca=found.ca)
    left = {"superlink": ends, "ca": days_left(found.ca)}
    for words in expiry_words(left):
        say(f"warning: {words}; renew it before that day")
    emit({"nodes": known, "certificate_days_left": left}, as_json=as_json)


def _split(text: str) -> list[str]:
    """Split a list that is written with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
