"""A real nginx on loopback with the file that deploy/ ships, the names and addresses put in."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.deploy_commands import DEPLOY
from tests.support.patience import patience

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
SHIPPED = "superlink.conf"
_MAIN = """
worker_processes 1;
error_log {folder}/error.log notice;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/shipped.conf;
}}
"""


def put_in(values: Mapping[str, str], *, shipped: str = SHIPPED) -> str:
    """Return a shipped file with what its head tells to replace; each must stand in it."""
    text = (DEPLOY / "nginx" / shipped).read_text()
    for old, new in sorted(values.items(), key=lambda pair: -len(pair[0])):
        assert old in text, f"{shipped} says nothing of {old}"
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(
    folder: Path, *, port: int, values: Mapping[str, str], shipped: str = SHIPPED
) -> Iterator[Path]:
    """Run nginx before a SuperLink or a page; yield the folder with its two logs."""
    assert NGINX is not None
    folder.mkdir()
    listens = {"listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;"}
    (folder / "shipped.conf").write_text(put_in({**values, **listens}, shipped=shipped))
    # Its workers read the files of a test, which are ours.
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(user + _MAIN.format(folder=folder))
    words = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    checked = subprocess.run([*words, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen([*words, "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + patience(20)
        while not _listens(port):
            assert process.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield folder
    finally:
        process.terminate()
        process.wait(timeout=patience(20))


def asked_paths(folder: Path) -> set[str]:
    """Return the first two parts of every path that was asked for and answered well."""
    lines = (folder / "access.log").read_text().splitlines()
    good = (re.search(r'"[A-Z]+ (/v1/[a-z]+/)\S* HTTP/[\d.]+" 2\d\d ', line) for line in lines)
    return {found[1] for found in good if found}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
