"""Machines on one machine: each a root file system, a network, users and processes of its own.

A machine's root holds what a fresh installation of a system holds, and shows this machine's
programs read-only. Its network has one line, to the machine that it is wired to, and loopback.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.deploy_commands import DEPLOY
from tests.support.patience import patience

SYSTEMCTL = Path(__file__).with_name("systemctl.py")
NEEDED = ("unshare", "nsenter", "ip", "setpriv", "runuser", "openssl", "useradd")
_EMPTY = ("etc/systemd/system", "proc", "dev", "tmp", "run", "data", "root", "home", "opt")
_KEPT = ("ld.so.cache", "login.defs", "nsswitch.conf", "ssl/openssl.cnf", "pam.d", "security")


def can_make_machines() -> bool:
    """Say whether this user may make namespaces, and what is needed is installed."""
    if os.geteuid() != 0 or not all(map(shutil.which, NEEDED)):
        return False
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "mount", "-t", "tmpfs", "x", "/mnt"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine that runs; ``pid`` is of the process that holds its namespaces."""

    name: str
    root: Path
    pid: int

    def command(self, words: Sequence[str]) -> list[str]:
        """Return what runs a command there, as root."""
        inside = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--uts"]
        path = f"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:{Path(sys.prefix)}/bin"
        base = ["env", "-i", path, "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"]
        return [*inside, *base, "chroot", str(self.root), *words]

    def path(self, absolute: str) -> Path:
        """Return where a path of the machine is on this one."""
        return self.root / absolute.lstrip("/")

    def listening(self) -> set[str]:
        """Return the addresses, in hexadecimal, at which somebody listens for TCP there."""
        found = set()
        for name in ("tcp", "tcp6"):
            text = Path(f"/proc/{self.pid}/net/{name}").read_text()
            rows = [line.split() for line in text.splitlines()[1:]]
            found |= {row[1].partition(":")[0] for row in rows if row[3] == "0A"}
        return found


@contextmanager
def machine(place: Path, name: str) -> Iterator[Machine]:
    """Make a machine below ``place`` and let it run; all its processes end with the block."""
    root = place / name
    _furnish(root)
    mounts = " && ".join((*_mounts(root), f"hostname {name}", "ip link set lo up"))
    inside = ["sh", "-c", f"{mounts} && exec sleep infinity"]
    spaces = ["--mount", "--net", "--uts", "--pid", "--fork", "--kill-child"]
    with (place / f"{name}.log").open("wb") as log:
        holder = subprocess.Popen(
            ["unshare", *spaces, *inside], stderr=log, preexec_fn=_end_with_parent
        )
    try:
        yield Machine(name=name, root=root, pid=_child_of(holder, place / f"{name}.log"))
    finally:
        holder.kill()
        holder.wait()


def wire(hub: Machine, other: Machine, *, net: int, host: str) -> None:
    """Lay a line between two machines, and let ``other`` know the first by its name."""
    here, there = f"to-{other.name}"[:15], "eth0"
    add = ["ip", "link", "add", here, "netns", str(hub.pid), "type", "veth"]
    subprocess.run([*add, "peer", "name", there, "netns", str(other.pid)], check=True)
    for end, link, last in ((hub, here, 1), (other, there, 2)):
        into = ["nsenter", f"--target={end.pid}", "--net", "ip"]
        address = ["address", "add", f"10.77.{net}.{last}/24", "dev", link]
        subprocess.run([*into, *address], check=True)
        subprocess.run([*into, "link", "set", link, "up"], check=True)
    with other.path("/etc/hosts").open("a") as hosts:
        hosts.write(f"10.77.{net}.1 {host}\n")


def shown() -> tuple[Path, ...]:
    """Return the folders of this machine that hold programs, Python, packages and the project."""
    wanted = [Path(p) for p in ("/usr", sys.base_prefix, sys.prefix, str(DEPLOY.parent), *sys.path)]
    found: list[Path] = []
    for path in sorted(wanted, key=lambda path: len(path.parts)):
        inside = any(path.is_relative_to(known) for known in found)
        if path.is_absolute() and path.is_dir() and not inside:
            found.append(path)
    return tuple(found)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _furnish(root: Path) -> None:
    """Write what a fresh system has, and the stand-in for its service manager."""
    for name in (*_EMPTY, "var/lib", "var/log", "etc/ssl", "usr"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in _KEPT:
        source = Path("/etc", name)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        if source.exists():
            copy(source, root / "etc" / name)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/:\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    for path in shown():
        (root / path.relative_to("/")).mkdir(parents=True, exist_ok=True)


def _mounts(root: Path) -> Iterator[str]:
    """Yield the mounts of a machine."""
    yield "mount --make-rprivate /"
    yield f"mount --bind {root} {root}"
    for path in shown():
        yield f"mkdir -p {root}{path} && mount --bind {path} {root}{path}"
        yield f"mount -o remount,bind,ro {root}{path}"
    yield f"mount -t tmpfs none {root}/usr/local/sbin"
    words = f"exec {sys.executable} {SYSTEMCTL}"
    script = f'#!/bin/sh\\n{words} "$@"\\n'
    yield f"printf '{script}' > {root}/usr/local/sbin/systemctl"
    yield f"chmod 0755 {root}/usr/local/sbin/systemctl"
    yield f"mount -t proc none {root}/proc"
    yield f"mount --rbind /dev {root}/dev"
    yield f"mount -t tmpfs none {root}/run"


def _child_of(holder: subprocess.Popen[bytes], log: Path) -> int:
    """Return the id of the process within the namespaces, once its mounts are there."""
    until = time.monotonic() + patience(30)
    while time.monotonic() < until:
        assert holder.poll() is None, log.read_text()
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        if children and _program(int(children[0])) == "sleep":
            return int(children[0])
        time.sleep(0.02)
    raise TimeoutError("a machine did not start")


def _program(pid: int) -> str:
    """Return the name of what a process runs."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
