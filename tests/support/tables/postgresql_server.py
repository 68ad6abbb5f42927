"""A PostgreSQL server of our own: a new cluster in a folder, on a socket, stopped by its id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as dbapi

from tests.support.patience import patience

_PATIENCE_SECONDS = 60


@contextmanager
def running_server() -> Iterator[str]:
    """Start a server and yield its uri; it refuses root, so that root lends it to ``postgres``."""
    owner = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    place = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    place.chmod(0o755)
    os.chown(place, owner.pw_uid, owner.pw_gid)
    try:
        data = place / "data"
        initdb = [_binary("initdb"), "-D", data, "-A", "trust", "-U", "tester", "--no-sync"]
        _run([*initdb, "-E", "UTF8", "--locale=C"], owner=owner)
        settings = ("listen_addresses=", f"unix_socket_directories={place}", "fsync=off")
        command = [_binary("postgres"), "-D", data, *(f"--{setting}" for setting in settings)]
        with (place / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, **_as(owner))  # type: ignore[arg-type]  # as loose as a test may be
        try:
            uri = f"postgresql://tester@/postgres?host={place}"
            _await(uri, server)  # type: ignore[arg-type]  # as loose as a test may be
            yield uri
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(patience(_PATIENCE_SECONDS))
    finally:
        shutil.rmtree(place)


def _binary(name: str) -> str:
    """Return a server program; Debian keeps them out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    program = str(found[-1]) if found else shutil.which(name)
    assert program, "PostgreSQL's server is needed: run make postgresql"
    return program


def _run(command: list[str | Path], *, owner: pwd.struct_passwd) -> None:
    done = subprocess.run(command, capture_output=True, text=True, **_as(owner))
    assert done.returncode == 0, done.stderr


def _as(owner: pwd.struct_passwd) -> dict[str, Any]:
    """Return how a process is started as ``owner``."""
    if os.getuid() == owner.pw_uid:
        return {"cwd": "/"}
    return {"cwd": "/", "user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _await(uri: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + patience(_PATIENCE_SECONDS)
    while True:
        assert server.poll() is None, "the server ended"
        try:
            dbapi.connect(uri).close()
            return
        except dbapi.Error:
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.05)
