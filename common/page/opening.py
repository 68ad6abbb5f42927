"""Open a page's address, say how to enter, and become its keeper."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import say
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import read_named
from silosynth.common.page.settings import PageSettings, hidden, new_secret

KEEPER = "silosynth.common.page.keeper"
_PACKAGES = ("fastapi", "jinja2", "uvicorn")
_SHORTEST = 16
_BACKLOG = 64
_NAME = r"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFlags:
    """Where a page is found, and how people are let in."""

    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Another port on loopback; 0 picks a free one."),
    ] = None
    socket: Annotated[
        Path | None, typer.Option(help="A Unix socket for a reverse proxy, instead of a port.")
    ] = None
    host_name: Annotated[
        str | None, typer.Option(help="The name by which browsers reach the reverse proxy.")
    ] = None
    user_header: Annotated[
        str | None,
        typer.Option(help="The header by which the proxy at --socket says who looks; no token."),
    ] = None
    token_file: Annotated[
        Path | None, typer.Option(help="A file that holds the token; a new one otherwise.")
    ] = None
    rest_minutes: Annotated[
        float, typer.Option(min=0.05, help="Unseen for so long, the page sleeps; all left then.")
    ] = 15.0


def open_page(
    flags: PageFlags,
    *,
    port: int,
    site: str,
    arguments: Mapping[str, str],
    decides: bool = False,
) -> None:
    """Listen, say how to enter, and go on as the keeper of the page; it never returns.

    Args: port: on loopback, where the flags name no other.
    Raises InvalidArgument for an address that is not to be used, or a token that is too short.
    """
    _check(flags)
    token = _token(flags)
    code = new_secret() if decides else None
    listener, hosts = _listen(flags, port=port)
    settings = PageSettings(
        site=site,
        arguments=arguments,
        hosts=hosts,
        https=flags.host_name is not None,
        token=hidden(token),
        code=None if code is None else hidden(code),
        user_header=None if flags.user_header is None else flags.user_header.lower(),
        rest_seconds=flags.rest_minutes * 60,
    )
    for line in _words(flags, settings, token=token, code=code):
        say(line)
    _become_keeper(listener, settings)


def _check(flags: PageFlags) -> None:
    """Raise InvalidArgument for flags that do not go together, or where packages are missing."""
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise InvalidArgument(
                f"a page needs {package}, which is not installed",
                hint="install silosynth[silo] or silosynth[coordinator]",
            )
    if flags.user_header is not None and flags.socket is None:
        raise InvalidArgument(
            "--user-header is believed of a proxy at --socket alone: any program may send it "
            "to a port",
            hint="give --socket, in a folder that only the proxy can enter",
        )
    if flags.socket is not None and flags.host_name is None:
        raise InvalidArgument(
            "a page behind a proxy needs --host-name, the name in people's browsers"
        )
    if flags.host_name is not None and not set(flags.host_name) <= set(_NAME):
        raise InvalidArgument(f"--host-name {flags.host_name!r} is no name of a host")


def _token(flags: PageFlags) -> str:
    """Return the token that lets people in."""
    if flags.token_file is None:
        return new_secret()
    try:
        token = read_named(flags.token_file, most=1000).decode().strip()
    except UnicodeDecodeError:
        token = ""
    if len(token) < _SHORTEST:
        raise InvalidArgument(
            f"{flags.token_file} holds no token of {_SHORTEST} characters or more",
            hint="make one with 'openssl rand -hex 16'",
        )
    return token


def _listen(flags: PageFlags, *, port: int) -> tuple[socket.socket, tuple[str, ...]]:
    """Return a listening socket, and by which names it is reached."""
    named = () if flags.host_name is None else (flags.host_name,)
    port = port if flags.port is None else flags.port
    try:
        if flags.socket is not None:
            return _unix(flags.socket), named
        listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    except OSError as err:
        place = flags.socket or f"port {port}"
        raise InvalidArgument(
            f"the page cannot be served at {place}: {err.strerror}", hint="choose another"
        ) from err
    bound = listener.getsockname()[1]
    return listener, (*named, f"127.0.0.1:{bound}", f"localhost:{bound}")


def _unix(path: Path) -> socket.socket:
    """Return a listening Unix socket that its owner and group may open."""
    if path.is_socket():
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o117)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(_BACKLOG)
    return listener


def _words(flags: PageFlags, settings: PageSettings, *, token: str, code: str | None) -> list[str]:
    """Say where the page is, and how to enter; no secret stands in an address."""
    if flags.host_name is None:
        lines = [f"the page is at http://{settings.hosts[0]}/"]
    else:
        lines = [f"the page is at https://{flags.host_name}/, behind your reverse proxy"]
    if flags.user_header is not None:
        lines.append(f"who looks is who the proxy names in {flags.user_header}")
    elif flags.token_file is None:
        lines.append(f"enter with the token {token}")
    else:
        lines.append(f"enter with the token in {flags.token_file}")
    if code is not None:
        lines.append(f"decide with the code {code}; whoever has it decides for you")
    return lines


def _become_keeper(listener: socket.socket, settings: PageSettings) -> None:
    """Go on as a small process that holds the socket and the settings."""
    held = os.memfd_create("page-settings")
    os.write(held, settings.model_dump_json().encode())
    os.lseek(held, 0, os.SEEK_SET)
    for descriptor in (held, listener.fileno()):
        os.set_inheritable(descriptor, True)
    words = [sys.executable, "-m", KEEPER, str(listener.fileno()), str(held)]
    sys.stdout.flush()
    os.execv(sys.executable, words)
