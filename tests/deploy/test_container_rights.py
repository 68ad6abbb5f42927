"""A gateway lives with exactly its container's rights: start, stop, start, kill, start.

No engine is needed. A root file system of its own is made by the steps of the image's file, run in
it for real, over the programs of this machine (read-only) in the place of the base image. What the
compose file mounts lies at the container's paths, the rest is read-only, and the gateway runs there
by the compose file's own words, in a mount and a network namespace, without any capability and
without a way to get one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from silosynth.client.policy import NewSilo
from silosynth.client.rpc import is_serving
from silosynth.client.silo import init_silo
from silosynth.common.schema import dump_schema, parse_schema
from tests.support.deploy_commands import DEPLOY, container_command
from tests.support.machines import shown
from tests.support.patience import patience

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"),
    reason="namespaces and other users need root, unshare and setpriv",
)
HUB, SILO, RELAY, STRANGER, GROUP = 10000, 10001, 10002, 10004, 10003
_ASK = """
import sys
from pathlib import Path
from silosynth.client.rpc.caller import RemoteGateway, is_serving
path = Path(sys.argv[1])
assert is_serving(path)
with RemoteGateway(path, restart_seconds=1.0) as gateway:
    assert gateway.identify(bytes(32))
"""
_PAGE = """
import sys
from pathlib import Path
from silosynth.client.relay.process import gateway_pages
status, text = gateway_pages(Path(sys.argv[1]))["/gateway/metrics"]()
assert status == 200 and b"silosynth_budget_remaining_rho" in text, (status, text)
"""
_LOOK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as page:
    page.connect(sys.argv[1])
    lines = ("GET /enter HTTP/1.1", "Host: page.example.org", "Connection: close", "", "")
    page.sendall("\\r\\n".join(lines).encode())
    with page.makefile("rb") as answer:
        text = answer.read()
assert text.startswith(b"HTTP/1.1 200") and b"token" in text, text
"""
_WRITE = """
import errno, sys
for path in sys.argv[1:]:
    try:
        open(path, "w")
    except OSError as err:
        assert err.errno in (errno.EROFS, errno.EACCES, errno.ENOENT), err
    else:
        raise AssertionError(path)
"""
_LIST = "import os, sys\nos.listdir(sys.argv[1])\n"
_OPEN = "import sys\nfor path in sys.argv[1:]:\n    open(path, 'rb').read(1)\n"


STEPS = re.compile(r"^RUN ((?:.*\\\n)*.*)", re.MULTILINE)
VOLUMES = {
    "silo": "/etc/silosynth/silo",
    "data": "/data",
    "state": "/var/lib/silosynth",
    "run": "/run/silosynth",
    "home": "/var/lib/silosynth-home",
    "page": "/run/silosynth-page",
}
OWNED = {"state": SILO, "run": SILO, "home": HUB, "page": HUB}
POLICY, SOCKET = "/etc/silosynth/silo/silo.toml", "/run/silosynth/gateway.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """An image's root file system, and the folders that a gateway's container mounts."""

    root: Path

    @property
    def image(self) -> Path:
        """Return the root file system."""
        return self.root / "image"

    def command(
        self, words: Sequence[str], *, user: int = SILO, group: int | bool = True
    ) -> list[str]:
        """Return what runs a command as a user of the image, without rights and network.

        ``group`` is what the user is in besides: the sockets' between gateway and relay if True.
        """
        mounts = [f"mount --bind {self.root}/{n} {self.image}{at}" for n, at in VOLUMES.items()]
        closed = [f"mount -o remount,bind,ro {self.image}"]
        rights = f"setpriv --reuid {user} --regid {user} --bounding-set=-all --inh-caps=-all"
        other = GROUP if group is True else group
        groups = f"--groups {other}" if group else "--clear-groups"
        run = f'exec chroot {self.image} {rights} {groups} --no-new-privs "$@"'
        script = " && ".join((*self._base(), *mounts, *closed, run))
        return ["unshare", "--mount", "--net", "sh", "-c", script, "sh", *words]

    def build(self) -> None:
        """Make the root file system by the steps of the image's file."""
        for name in ("etc", "proc", "dev", "tmp", "var/lib", "run", "data", "etc/silosynth/silo"):
            (self.image / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.image / name).symlink_to(f"usr/{name}")
        for name in ("ld.so.cache", "login.defs", "nsswitch.conf"):
            shutil.copy(f"/etc/{name}", self.image / "etc" / name)
        stranger = f"stranger:x:{STRANGER}:{STRANGER}::/:/bin/false\n"
        (self.image / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\n{stranger}")
        (self.image / "etc/group").write_text("root:x:0:\n")
        for path in shown():
            (self.image / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
        image = (DEPLOY / "docker" / "Dockerfile").read_text().split("\nFROM ")[-1]
        steps = STEPS.findall(image)
        assert len(steps) >= 2, "the image's file makes users and folders"
        for step in steps:
            words = " && ".join((*self._base(), f'exec chroot {self.image} sh -ec "$1"'))
            subprocess.run(["unshare", "--mount", "sh", "-c", words, "sh", step], check=True)

    def _base(self) -> list[str]:
        """Return the mounts that stand for the base image."""
        mounts = [  # a checkout under /tmp needs its place in the mount there
            f"mkdir -p {self.image}{path} && mount --bind {path} {self.image}{path}"
            f" && mount -o remount,bind,ro {self.image}{path}"
            for path in shown()
        ]
        return [
            f"mount --bind {self.image} {self.image}",
            f"mount --bind /proc {self.image}/proc",
            f"mount --rbind /dev {self.image}/dev",
            f"mount -t tmpfs none {self.image}/tmp",
            *mounts,
        ]

    def ask(self, code: str, *paths: str, user: int, group: int | bool = True) -> int:
        """Run a few lines as a user; return the exit code."""
        words = [sys.executable, "-c", code, *paths]
        done = subprocess.run(
            self.command(words, user=user, group=group), capture_output=True, check=False
        )
        return done.returncode

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the gateway by the compose file's words, and more; return when it serves."""
        words = container_command("gateway-north", {})
        assert POLICY in words
        command = self.command([*words, *more])
        opened = self.root / "run" / Path(SOCKET).name
        return self._started(command, lambda: is_serving(opened))

    def start_hub(self, service: str, is_ready: Callable[[str], bool]) -> subprocess.Popen[bytes]:
        """Start a service of the coordinator's; return when what it has said is what is awaited."""
        words = ["env", *_environment(service), *container_command(service, {})]
        command = self.command(words, user=HUB, group=False)
        return self._started(command, lambda: is_ready((self.root / "log").read_text()))

    def _started(self, command: list[str], is_ready: Callable[[], bool]) -> subprocess.Popen[bytes]:
        log = self.root / "log"
        log.write_bytes(b"")
        with log.open("ab") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        until = time.monotonic() + patience(12)
        while not is_ready():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        return process


@pytest.fixture(scope="module")
def box() -> Iterator[Container]:
    """Build the image and make what the guide makes: volumes with owners, and a silo."""
    with tempfile.TemporaryDirectory(prefix="box-") as name:
        root = Path(name)
        root.chmod(0o755)
        box = Container(root=root)
        box.build()
        _make_silo(root)
        for place, owner in OWNED.items():  # a new volume takes owner and mode of what it covers
            (root / place).mkdir()
            made = (box.image / VOLUMES[place].lstrip("/")).stat()
            assert (made.st_uid, made.st_mode & 0o007) == (owner, 0), place
            (root / place).chmod(made.st_mode & 0o7777)
            os.chown(root / place, made.st_uid, made.st_gid)
        yield box


@pytest.fixture(scope="module")
def container(box: Container) -> Container:
    """Make the silo's ledger."""
    subprocess.run(_new_ledger(box), check=True)
    return box


def _new_ledger(container: Container) -> list[str]:
    words = container_command("gateway-north", {})[:1]
    return container.command([*words, "silo", "new-ledger", "--policy", POLICY])


def _make_silo(root: Path) -> None:
    """Make a silo whose files are its user's, with the paths of a container."""
    schema = {
        "name": "people",
        "attributes": [
            {"name": "ill", "kind": "categorical", "categories": ["no", "yes"], "source": "public"}
        ],
    }
    (root / "silo").mkdir(mode=0o700)
    (root / "data").mkdir()
    (root / "silo/schema.yaml").write_text(dump_schema(parse_schema(schema)))
    pq.write_table(pa.table({"ill": ["no", "yes"]}), root / "data/table.parquet")
    init_silo(
        root / "silo",
        NewSilo(name="north", schema=root / "silo/schema.yaml", table=Path("/data/table.parquet")),
    )
    policy = root / "silo/silo.toml"
    text = policy.read_text()
    for old, new in (
        (r'^directory = ".*?"', 'directory = "/var/lib/silosynth"'),
        (r"^schema = .*$", 'schema = "/etc/silosynth/silo/schema.yaml"'),
        (r"^users = \[\].*$", 'users = ["silosynth-relay"]'),
        (r"^# group = ", "group = "),
        (r"^# socket = .*gateway.sock.*$", f'socket = "{SOCKET}"'),
        (r"^# socket = .*metrics.sock.*$", 'socket = "/run/silosynth/metrics.sock"'),
    ):
        text, count = re.subn(old, new, text, count=1, flags=re.MULTILINE)
        assert count == 1, old
    policy.write_text(text)
    for path in (root / "silo", *(root / "silo").rglob("*"), *(root / "data").rglob("*")):
        os.chown(path, SILO, SILO)
    (root / "data/table.parquet").chmod(0o600)


def _environment(service: str) -> list[str]:
    """Return what the compose file puts into a service's environment."""
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][service]
    return [f"{name}={value}" for name, value in found["environment"].items()]


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    process.send_signal(number)
    return process.wait(timeout=patience(10))


def test_a_gateway_starts_stops_and_starts_again_whatever_ended_it(container: Container) -> None:
    assert _end(container.start(), signal.SIGTERM) == 0
    assert _end(container.start(), signal.SIGKILL) == -signal.SIGKILL
    process = container.start("--no-network")
    try:
        assert container.ask(_ASK, SOCKET, user=SILO) == 0
        assert container.ask(_ASK, SOCKET, user=RELAY) == 0
        assert container.ask(_PAGE, "/run/silosynth/metrics.sock", user=RELAY) == 0
        assert container.ask(_ASK, SOCKET, user=RELAY, group=False) != 0
        assert container.ask(_ASK, SOCKET, user=STRANGER) != 0, "the group is no user"
        keys, state = "/etc/silosynth/silo/keys/silo.pem", "/var/lib/silosynth/ledger.sqlite"
        for secret in ("/data/table.parquet", POLICY, keys, state):
            assert container.ask(_OPEN, secret, user=RELAY) != 0, secret
            assert container.ask(_OPEN, secret, user=SILO) == 0, secret
        assert container.ask(_WRITE, "/etc/x", "/opt/x", "/var/lib/x", user=SILO) == 0, "read-only"
    finally:
        _end(process, signal.SIGTERM)


def test_a_coordinator_and_its_page_start_again_whatever_ended_them(box: Container) -> None:
    def serves(said: str) -> bool:
        return "runs at once" in said

    assert _end(box.start_hub("coordinator", serves), signal.SIGTERM) == 0
    assert _end(box.start_hub("coordinator", serves), signal.SIGKILL) == -signal.SIGKILL
    coordinator = box.start_hub("coordinator", serves)

    socket = "/run/silosynth-page/page.sock"

    def looks(said: str) -> bool:
        """Look at the new page alone: what a killed one left answers at its socket for a while."""
        return "the page is at" in said and box.ask(_LOOK, socket, user=HUB, group=False) == 0

    try:
        assert _end(box.start_hub("page", looks), signal.SIGTERM) == 0
        assert _end(box.start_hub("page", looks), signal.SIGKILL) == -signal.SIGKILL
        page = box.start_hub("page", looks)
        try:
            assert box.ask(_LOOK, socket, user=STRANGER, group=False) != 0
            assert box.ask(_LOOK, socket, user=SILO) != 0
            assert box.ask(_LOOK, socket, user=STRANGER, group=HUB) == 0, "as nginx has it"
            for closed in ("/var/lib/silosynth-home", "/var/lib/silosynth-superlink"):
                assert box.ask(_LIST, closed, user=STRANGER, group=HUB) != 0, closed
                assert box.ask(_LIST, closed, user=HUB, group=False) == 0, closed
        finally:
            _end(page, signal.SIGTERM)
    finally:
        assert _end(coordinator, signal.SIGTERM) == 0


def test_a_second_ledger_is_not_made_beside_a_first_or_after_it_was_lost(
    container: Container,
) -> None:
    """Last in this file: nothing is left of the ledger."""
    command = _new_ledger(container)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 4
    _end(container.start(), signal.SIGTERM)
    for path in (container.root / "state").glob("ledger*"):
        path.unlink()
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 4
    assert b"backup" in done.stderr
