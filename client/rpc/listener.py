"""The sockets that a gateway listens on: given by systemd, or bound here, for one owner alone."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from silosynth.client.rpc.caller import socket_address
from silosynth.common.errors import InvalidArgument

SOCKET_MODE = 0o600
GROUP_MODE = 0o660
_FIRST_GIVEN = 3
_BACKLOG = 64
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def given_socket(environment: MutableMapping[str, str]) -> socket.socket | None:
    """Return the listening socket that systemd handed over; None when it handed over none.

    The variables that say so are removed, so that nothing started from here takes them up.
    Source: sd_listen_fds(3).

    Raises InvalidArgument when what was handed over is not one listening Unix-domain socket.
    """
    values = {name: environment.pop(name, "") for name in _VARIABLES}
    if values["LISTEN_PID"] != str(os.getpid()):
        return None
    if values["LISTEN_FDS"] != "1":
        raise InvalidArgument(
            f"{values['LISTEN_FDS'] or 'no'} sockets were handed over; one is expected",
            hint="state one ListenStream in the socket unit",
        )
    os.set_inheritable(_FIRST_GIVEN, False)
    given = socket.socket(fileno=_FIRST_GIVEN)
    listens = given.family is socket.AF_UNIX and given.type is socket.SOCK_STREAM
    if not listens or not given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise InvalidArgument(
            "what was handed over is no listening Unix-domain socket",
            hint="state a path as ListenStream in the socket unit",
        )
    return given


def bind_socket(path: Path, *, owner: int | None = None, group: int | None = None) -> socket.socket:
    """Listen at ``path``, which its owner alone, or a group too, may connect to.

    What a gateway left behind that has ended is replaced; a socket that somebody listens on, and
    whatever is no socket, is left alone.

    Args: owner: the user id who gets the socket; this process' own, by default.
        group: the id of a group of this process that may connect; nobody else, by default.
    Raises InvalidArgument when the path is taken or cannot be used.
    """
    socket_address(path)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), SOCKET_MODE)
        listener.bind(str(path))
        if owner is not None:
            os.chown(path, owner, -1, follow_symlinks=False)
        if group is not None:
            os.chown(path, -1, group, follow_symlinks=False)
            path.chmod(GROUP_MODE)
        listener.listen(_BACKLOG)
    except OSError as err:
        listener.close()
        raise InvalidArgument(
            f"cannot listen at {path}: {err.strerror}", hint="check the directory and its owner"
        ) from None
    return listener


def remove_socket(path: Path) -> None:
    """Remove a socket's name, if it is a socket and this user may."""
    with suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on; raise InvalidArgument when the path is taken."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise InvalidArgument(f"{path} is there and is no socket", hint="choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            remove_socket(path)
            return
        except OSError as err:
            raise InvalidArgument(f"{path} cannot be used: {err.strerror}") from None
    raise InvalidArgument(f"another process listens at {path}", hint="stop it first")
