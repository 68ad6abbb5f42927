"""A gateway lives with exactly its container's rights: start, stop, start, kill, start.

No engine is needed: the accounts are those of the image's file, in a mount and a network namespace,
without any capability and without a way to get one.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deploy_commands import DEPLOY, container_command

from silosynth.client.policy.template import NewSilo
from silosynth.client.silo.init import init_silo
from silosynth.common.schema.schema import dump_schema, parse_schema

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"),
    reason="namespaces and other users need root, unshare and setpriv",
)
SILO, RELAY, STRANGER, GROUP = 10001, 10002, 10004, 10003
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
from silosynth.client.relay.health import gateway_pages
status, text = gateway_pages(Path(sys.argv[1]))["/gateway/metrics"]()
assert status == 200 and b"silosynth_budget_remaining_rho" in text, (status, text)
"""
_OPEN = "import sys\nfor path in sys.argv[1:]:\n    open(path, 'rb').read(1)\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The folders that a gateway's container mounts, and the accounts of the image."""

    root: Path

    def command(self, words: Sequence[str], *, user: int = SILO, group: bool = True) -> list[str]:
        """Return what runs a command as a user of the image, without rights and network."""
        mounts = [f"mount --bind {self.root}/{n} /etc/{n}" for n in ("passwd", "group")]
        mounts += _reach_interpreter(self.root / "python")
        rights = f"setpriv --reuid {user} --regid {user} --bounding-set=-all --inh-caps=-all"
        groups = f"--groups {GROUP}" if group else "--clear-groups"
        script = f'{" && ".join(mounts)} && exec {rights} {groups} --no-new-privs "$@"'
        return ["unshare", "--mount", "--net", "sh", "-c", script, "sh", *words]

    def ask(self, code: str, *paths: str, user: int, group: bool = True) -> int:
        """Run a few lines as a user; return the exit code."""
        words = [sys.executable, "-c", code, *(str(self.root / path) for path in paths)]
        done = subprocess.run(
            self.command(words, user=user, group=group), capture_output=True, check=False
        )
        return done.returncode

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the gateway by the compose file's words, and more; return when it serves."""
        policy = str(self.root / "silo/silo.toml")
        words = container_command("gateway-north", {"/etc/silosynth/silo/silo.toml": policy})
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen(self.command([*words, *more]), stderr=log)
        until = time.monotonic() + 120
        while self.ask(_ASK, "run/gateway.sock", user=SILO):
            assert process.poll() is None, (self.root / "log").read_text()
            assert time.monotonic() < until, (self.root / "log").read_text()
        return process


def _reach_interpreter(spare: Path) -> list[str]:
    """Return what shows this interpreter to every user, where it lies in somebody's home."""
    prefix = Path(sys.base_prefix)
    closed = [p for p in reversed(prefix.parents) if not p.stat().st_mode & 0o001]
    if not closed:
        return []
    return [
        f"mount --bind {prefix} {spare}",
        f"mount -t tmpfs -o mode=755 none {closed[0]}",
        f"mkdir -p {prefix}",
        f"mount --bind {spare} {prefix}",
    ]


@pytest.fixture
def container() -> Iterator[Container]:
    """Make what the image and the guide make: folders, owners, accounts, a silo and its ledger."""
    with tempfile.TemporaryDirectory(prefix="box-") as name:
        root = Path(name)
        root.chmod(0o755)
        box = Container(root=root)
        _accounts(root)
        _make_silo(root)
        (root / "python").mkdir()
        for place, group, mode in (("state", SILO, 0o700), ("run", GROUP, 0o750)):
            (root / place).mkdir()
            (root / place).chmod(mode)
            os.chown(root / place, SILO, group)
        words = container_command("gateway-north", {})[:1]
        policy = str(root / "silo/silo.toml")
        subprocess.run(box.command([*words, "silo", "new-ledger", "--policy", policy]), check=True)
        yield box


def _accounts(root: Path) -> None:
    """Write the image's accounts, as its file makes them."""
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    users = re.findall(r"useradd --system --uid (\d+) .* ([a-z-]+)(?: \\|$)", text, re.MULTILINE)
    assert {int(uid) for uid, _ in users} >= {SILO, RELAY}
    passwd = ["root:x:0:0::/root:/bin/sh", f"stranger:x:{STRANGER}:{STRANGER}::/:/bin/false"]
    passwd += [f"{name}:x:{uid}:{uid}::/:/usr/sbin/nologin" for uid, name in users]
    groups = ["root:x:0:", f"silosynth-socket:x:{GROUP}:silosynth,silosynth-relay"]
    groups += [f"{name}:x:{uid}:" for uid, name in users]
    (root / "passwd").write_text("\n".join(passwd) + "\n")
    (root / "group").write_text("\n".join(groups) + "\n")


def _make_silo(root: Path) -> None:
    """Make a silo whose files are its user's, with the paths of a container."""
    schema = {
        "name": "people",
        "attributes": [
            {"name": "ill", "kind": "categorical", "categories": ["no", "yes"], "source": "public"}
        ],
    }
    (root / "schema.yaml").write_text(dump_schema(parse_schema(schema)))
    (root / "schema.yaml").chmod(0o644)
    pq.write_table(pa.table({"ill": ["no", "yes"]}), root / "table.parquet")
    init_silo(
        root / "silo",
        NewSilo(name="north", schema=root / "schema.yaml", table=root / "table.parquet"),
    )
    policy = root / "silo/silo.toml"
    text = policy.read_text()
    for old, new in (
        (r'^directory = ".*?"', f'directory = "{root}/state"'),
        (r"^users = \[\].*$", 'users = ["silosynth-relay"]'),
        (r"^# group = ", "group = "),
        (r"^# socket = .*gateway.sock.*$", f'socket = "{root}/run/gateway.sock"'),
        (r"^# socket = .*metrics.sock.*$", f'socket = "{root}/run/metrics.sock"'),
    ):
        text, count = re.subn(old, new, text, count=1, flags=re.MULTILINE)
        assert count == 1, old
    policy.write_text(text)
    for path in (root / "silo", *(root / "silo").rglob("*"), root / "table.parquet"):
        os.chown(path, SILO, SILO)
    (root / "table.parquet").chmod(0o600)


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    process.send_signal(number)
    return process.wait(timeout=60)


def test_a_gateway_starts_stops_and_starts_again_whatever_ended_it(container: Container) -> None:
    assert _end(container.start(), signal.SIGTERM) == 0
    assert _end(container.start(), signal.SIGKILL) == -signal.SIGKILL
    process = container.start("--no-network")
    try:
        assert container.ask(_ASK, "run/gateway.sock", user=RELAY) == 0
        assert container.ask(_PAGE, "run/metrics.sock", user=RELAY) == 0
        assert container.ask(_ASK, "run/gateway.sock", user=RELAY, group=False) != 0
        assert container.ask(_ASK, "run/gateway.sock", user=STRANGER) != 0, "the group is no user"
        secrets = ("table.parquet", "silo/silo.toml", "silo/keys/silo.pem", "state/ledger.sqlite")
        for secret in secrets:
            assert (container.root / secret).exists(), secret
            assert container.ask(_OPEN, secret, user=RELAY) != 0, secret
            assert container.ask(_OPEN, secret, user=SILO) == 0, secret
    finally:
        _end(process, signal.SIGTERM)


def test_a_second_ledger_is_not_made_beside_a_first_or_after_it_was_lost(
    container: Container,
) -> None:
    words = container_command("gateway-north", {})[:1]
    command = container.command(
        [*words, "silo", "new-ledger", "--policy", str(container.root / "silo/silo.toml")]
    )
    assert subprocess.run(command, capture_output=True, check=False).returncode == 4
    _end(container.start(), signal.SIGTERM)
    for path in (container.root / "state").glob("ledger*"):
        path.unlink()
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 4
    assert b"backup" in done.stderr
