"""Stand in for systemd on a machine of the tests: start units as their files say.

What is read of a unit is done; ``DONE`` and ``LEFT`` name every key of the shipped units, so that a
new one is noticed. Started processes are children of nobody, and end with the machine.
"""

from __future__ import annotations

import os
import pwd
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

UNITS, LOGS = Path("/etc/systemd/system"), Path("/var/log")
DONE = frozenset(
    {
        *("User", "StateDirectory", "StateDirectoryMode", "Environment", "EnvironmentFile"),
        *("RuntimeDirectory", "RuntimeDirectoryMode", "ExecStart", "UMask", "NoNewPrivileges"),
        *("CapabilityBoundingSet", "PrivateNetwork", "ProtectSystem", "PrivateTmp"),
        *("InaccessiblePaths", "ListenStream", "SocketMode", "SocketUser", "DirectoryMode"),
    }
)
LEFT = frozenset(  # ordering, restarts, and hardening that only a kernel with systemd does
    {
        *("Description", "Documentation", "Requires", "After", "Wants", "WantedBy", "Also"),
        *(
            "Restart",
            "RestartSec",
            "RestartPreventExitStatus",
            "TimeoutStopSec",
            "Type",
            "KillMode",
        ),
        *("RuntimeDirectoryPreserve", "RemoveOnStop", "DirectoryNotEmpty", "ReadWritePaths"),
        *("RestrictAddressFamilies", "IPAddressDeny", "ProtectHome", "ProtectProc", "ProcSubset"),
        *("ProtectClock", "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs"),
        *("ProtectKernelModules", "ProtectKernelTunables", "PrivateDevices", "RestrictNamespaces"),
        *("RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "SystemCallArchitectures"),
        *("SystemCallFilter", "LimitCORE", "MemoryMax"),
    }
)


def settings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of a unit's file."""
    for line in path.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            yield key.strip(), value.strip()


def start(name: str) -> None:
    """Start a service; a socket is made when its service starts."""
    if name.endswith(".socket"):
        return
    file = UNITS / f"{name.removesuffix('.service')}.service"
    unit: dict[str, list[str]] = {}
    for key, value in settings(file):
        unit.setdefault(key, []).append(value)
    user = pwd.getpwnam(unit["User"][0])
    state = _folder("/var/lib", unit.get("StateDirectory"), unit.get("StateDirectoryMode"), user)
    running = _folder("/run", unit.get("RuntimeDirectory"), unit.get("RuntimeDirectoryMode"), user)
    environment = _environment(unit) | {"PATH": "/usr/bin", "HOME": "/", "LANG": "C.UTF-8"}
    words = [_expanded(w, environment) for w in shlex.split(unit["ExecStart"][0])]
    kept = [p for p in (state, running) if p]
    fences = [
        "mount --make-rprivate /",
        "mount -t tmpfs -o mode=1777 none /tmp",
        *(f"mount --bind {path} {path}" for path in kept),
        *(f"mount -o remount,bind,ro {place}" for place in ("/",)),
        *(f"mount -t tmpfs -o mode=0 none {p}" for p in _hidden(unit)),
    ]
    rights = f"--reuid={user.pw_uid} --regid={user.pw_gid} --init-groups --bounding-set=-all"
    hands = 'export LISTEN_PID=$$; exec "$@"' if _socket_of(name) else 'exec "$@"'
    become = f"exec setpriv {rights} --inh-caps=-all --no-new-privs sh -c '{hands}' sh \"$@\""
    net = ["--net"] if unit.get("PrivateNetwork") == ["yes"] else []
    script = " && ".join((*fences, f"umask {unit['UMask'][0]}", become))
    command = ["unshare", "--mount", *net, "sh", "-c", script, "sh", *words]
    listener = _listen(name)
    with (LOGS / f"{name}.log").open("ab") as log:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment | ({"LISTEN_FDS": "1"} if listener is not None else {}),
            pass_fds=() if listener is None else (3,),
            start_new_session=True,
        )


def _folder(
    parent: str, names: list[str] | None, modes: list[str] | None, user: pwd.struct_passwd
) -> Path | None:
    """Make a directory of a service."""
    if not names:
        return None
    path = Path(parent, names[0])
    path.mkdir(exist_ok=True)
    path.chmod(int(modes[0], 8) if modes else 0o755)
    os.chown(path, user.pw_uid, user.pw_gid)
    return path


def _environment(unit: dict[str, list[str]]) -> dict[str, str]:
    """Return the variables that a unit states."""
    lines = list(unit.get("Environment", ()))
    for name in unit.get("EnvironmentFile", ()):
        file = Path(name.removeprefix("-"))
        if file.exists() or not name.startswith("-"):
            lines += file.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def _expanded(word: str, environment: dict[str, str]) -> str:
    """Put variables in place, as systemd does."""
    for name, value in environment.items():
        word = word.replace(f"${{{name}}}", value)
    return word


def _hidden(unit: dict[str, list[str]]) -> list[str]:
    """Return the paths that a service may not see."""
    named = (p for line in unit.get("InaccessiblePaths", ()) for p in line.split())
    return [p.removeprefix("-") for p in named if Path(p.removeprefix("-")).is_dir()]


def _socket_of(name: str) -> Path | None:
    """Return the file of a service's socket, where it has one."""
    path = UNITS / f"{name}.socket"
    return path if path.exists() else None


def _listen(name: str) -> socket.socket | None:
    """Make a service's socket, as descriptor 3."""
    file = _socket_of(name)
    if file is None:
        return None
    unit = dict(settings(file))
    place = Path(unit["ListenStream"])
    place.parent.mkdir(exist_ok=True)
    place.parent.chmod(int(unit["DirectoryMode"], 8))
    place.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(place))
    place.chmod(int(unit["SocketMode"], 8))
    os.chown(place, pwd.getpwnam(unit["SocketUser"]).pw_uid, 0)
    listener.listen()
    os.dup2(listener.fileno(), 3)
    return listener


def main() -> int:
    """Do ``enable --now UNIT ...`` or ``start UNIT ...``."""
    words = [w for w in sys.argv[1:] if w not in ("enable", "--now", "start")]
    for name in words:
        start(name.removesuffix(".service"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
