"""The gateway as a process: other users get what the socket gives and no more; it ends well."""

from __future__ import annotations

import base64
import json
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from silosynth.client.ledger import Ledger
from silosynth.client.rpc import RemoteGateway, bind_socket
from silosynth.client.silo import ledger_path
from silosynth.common.errors import ConnectionFailed, DeadlineExceeded
from silosynth.common.messages import Release
from tests.support.gateways.serving import (
    AS_ROOT,
    GATEWAY_USER,
    MAIN,
    RELAY_USER,
    STRANGER,
    WAIT_SECONDS,
    Serving,
)
from tests.support.patience import patience

needs_root = pytest.mark.skipif(
    not AS_ROOT, reason="becoming other users needs root; continuous integration runs as root"
)

STOPS_UNINTERRUPTED = """
import os, signal, threading
from silosynth.client.serving.serve import StopSignal
stop = StopSignal()
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]).start()
print(stop.wait(600), flush=True)
os._exit(0)
"""
TURNED_AWAY = {"turned away", "ConnectionResetError", "BrokenPipeError"}
ACT_AS = """
import base64, json, os, pwd, socket, sys
from pathlib import Path
from silosynth.client.rpc.caller import RemoteGateway
work = json.load(sys.stdin)
RemoteGateway(Path("/nowhere"), timeout_seconds=1).close()
user = pwd.getpwnam(work["user"])
os.setgroups([]); os.setgid(user.pw_gid); os.setuid(user.pw_uid)
found = {}
for path in work["files"]:
    try:
        Path(path).read_bytes()
        found[path] = "read"
    except OSError as err:
        found[path] = type(err).__name__
for path in work["sockets"]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        try:
            door.settimeout(10)
            door.connect(path)
            door.sendall(b"PRI * HTTP/2.0")
            found[path] = "let in" if door.recv(1) else "turned away"
        except OSError as err:
            found[path] = type(err).__name__
if work["plan"]:
    plan, request = (base64.b64decode(work[k]) for k in ("plan", "request"))
    with RemoteGateway(Path(work["relay"]), timeout_seconds=60) as gateway:
        gateway.propose(plan=plan)
        release = gateway.answer(plan=plan, request=request)
        found["release"] = base64.b64encode(release).decode()
json.dump(found, sys.stdout)
"""


def act_as(user: str, serving: Serving, *, ask: bool) -> dict[str, str]:
    """Try, as another user, to read what is the silo's and to reach its sockets."""
    federation = serving.federation
    plan = federation.plan()
    work = {
        "user": user,
        "files": [
            str(serving.home / "people.parquet"),
            str(ledger_path(federation.policy)),
            federation.policy.silo.key,
            federation.policy.silo.persons_secret,
        ],
        "sockets": [str(serving.operator), *([] if ask else [str(serving.relay)])],
        "relay": str(serving.relay),
        "plan": _text(federation.sealed(plan)) if ask else "",
        "request": _text(federation.request(plan)),
    }
    done = subprocess.run(
        [sys.executable, "-c", ACT_AS],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        timeout=patience(WAIT_SECONDS),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


@needs_root
def test_a_relay_of_another_user_gets_its_release_and_can_open_nothing(serving: Serving) -> None:
    serving.start()
    found = act_as(RELAY_USER, serving, ask=True)
    release = serving.federation.read(_bytes(found.pop("release")))
    assert isinstance(release, Release)
    assert len(found) == 5
    assert set(found.values()) == {"PermissionError"}


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


@needs_root
def test_a_third_user_cannot_even_reach_a_socket(serving: Serving) -> None:
    serving.start()
    assert set(act_as(STRANGER, serving, ask=False).values()) == {"PermissionError"}


@needs_root
def test_the_front_door_turns_a_third_user_away_whatever_the_modes_say(serving: Serving) -> None:
    serving.start()
    for path in (serving.relay, serving.operator, serving.operator.parent):
        path.chmod(0o777)
    (serving.home / "north").chmod(0o755)
    found = act_as(STRANGER, serving, ask=False)
    doors = {found[str(path)] for path in (serving.relay, serving.operator)}
    assert doors <= TURNED_AWAY
    stranger = pwd.getpwnam(STRANGER).pw_uid
    for door in ("gateway", "operator"):
        assert f'turned-away door="{door}" why="stranger" user={stranger}' in serving.log


@needs_root
def test_the_relay_is_turned_away_by_the_operators_door(serving: Serving) -> None:
    serving.start()
    for path in (serving.operator, serving.operator.parent):
        path.chmod(0o777)
    (serving.home / "north").chmod(0o755)
    found = act_as(RELAY_USER, serving, ask=True)
    assert found[str(serving.operator)] in TURNED_AWAY


@needs_root
def test_the_process_is_its_own_user_for_good(serving: Serving) -> None:
    serving.start()
    assert serving.process is not None
    status = Path(f"/proc/{serving.process.pid}/status").read_text()
    user = pwd.getpwnam(GATEWAY_USER)
    assert f"Uid:\t{user.pw_uid}\t{user.pw_uid}\t{user.pw_uid}\t{user.pw_uid}" in status
    assert f"Gid:\t{user.pw_gid}\t{user.pw_gid}\t{user.pw_gid}\t{user.pw_gid}" in status
    limits = Path(f"/proc/{serving.process.pid}/limits").read_text()
    assert next(x for x in limits.splitlines() if "core" in x).split()[4:6] == ["0", "0"]


@needs_root
def test_root_serves_nothing_without_a_user_to_become(serving: Serving) -> None:
    serving.federation.change(silo={"run_as": None})
    serving.write_policy()
    log = serving.home / "given-up"
    given_up = serving.fork("--policy", str(serving.policy), log=str(log))
    assert given_up.wait(patience(WAIT_SECONDS)) == 4
    assert "does not run as root" in log.read_text()
    assert not serving.relay.exists()


def test_a_signal_ends_it_after_the_request_at_hand_with_nothing_left(serving: Serving) -> None:
    serving.start()
    federation, plan = serving.federation, serving.federation.plan()
    answers: list[bytes] = []

    def ask() -> None:
        with RemoteGateway(serving.relay, restart_seconds=1.0) as gateway:
            gateway.propose(plan=federation.sealed(plan))
            # A request that comes after the signal finds the door closed.
            with suppress(ConnectionFailed, DeadlineExceeded):
                answers.append(
                    gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
                )

    asking = threading.Thread(target=ask)
    asking.start()
    while 'kind="propose"' not in serving.log:
        time.sleep(0.005)
    assert serving.stop() == 0
    asking.join()
    assert all(isinstance(federation.read(a), Release) for a in answers)
    assert not serving.relay.exists() or AS_ROOT
    assert not serving.operator.exists()
    caps = federation.policy.scope_caps()
    with Ledger.open(ledger_path(federation.policy), caps=caps) as ledger:
        assert len(ledger.verify().releases) == len(ledger.verify().charges)


def test_a_signal_that_does_not_interrupt_the_wait_ends_it() -> None:
    """As one does that arrives just before the wait; here another thread takes it."""
    command = [sys.executable, "-c", STOPS_UNINTERRUPTED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience(60))
    assert done.stdout == "True\n", done.stderr


def test_a_hangup_changes_nothing(serving: Serving) -> None:
    serving.start()
    assert serving.process is not None
    serving.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + patience(WAIT_SECONDS)
    while "reload-ignored" not in serving.log:
        assert time.monotonic() < end
        time.sleep(0.02)
    with serving.gateway() as gateway:
        assert gateway.identify(bytes(32))
    assert serving.stop() == 0


def test_after_a_kill_the_same_request_gets_the_same_bytes(serving: Serving) -> None:
    federation, plan = serving.federation, serving.federation.plan()
    answers = []
    for _ in range(2):
        serving.start()
        with serving.gateway() as gateway:
            gateway.propose(plan=federation.sealed(plan))
            answers.append(
                gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
            )
        serving.kill()
    assert answers[0] == answers[1]


def test_a_second_gateway_on_one_silo_gives_up_and_the_first_goes_on(serving: Serving) -> None:
    serving.start()
    log = serving.home / "given-up"
    given_up = serving.fork("--policy", str(serving.policy), log=str(log))
    assert given_up.wait(patience(WAIT_SECONDS)) == 4
    assert "another process listens" in log.read_text()
    with serving.gateway() as gateway:
        assert gateway.identify(bytes(32))


def test_systemd_may_hand_over_the_socket(serving: Serving) -> None:
    path = serving.home / "run" / "given.sock"
    with bind_socket(path) as given:
        serving.federation.change(relay={"socket": str(path)})
        serving.write_policy()
        descriptor = given.fileno()
        words = f"exec {sys.executable} -m {MAIN} --policy {serving.policy} 3<&{descriptor}"
        shell = ["bash", "-c", f"export LISTEN_PID=$$ LISTEN_FDS=1; {words}"]
        serving.start(command=shell, pass_fds=(descriptor,))
    with serving.gateway() as gateway:
        assert gateway.identify(bytes(32))


def test_a_gateway_that_waits_holds_no_library_that_only_an_answer_needs() -> None:
    code = "import sys, silosynth.client.serving.serve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {
        *("pandas", "numba", "scipy", "dp_accounting", "flwr", "ray", "typer", "duckdb", "rich")
    }


def test_metrics_and_health_are_served_on_loopback() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Serving(extra={"metrics": {"port": port}}) as serving:
        serving.start()
        federation, plan = serving.federation, serving.federation.plan()
        with serving.gateway() as gateway:
            gateway.propose(plan=federation.sealed(plan))
            gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
        page = _page(port, "/metrics")
        assert 'silosynth_requests_total{kind="measure",role="gateway"} 1.0' in page
        spent = next(x for x in page.splitlines() if x.startswith("silosynth_budget_spent_rho{"))
        assert float(spent.split()[-1]) > 0
        assert _page(port, "/health") == "ok\n"


def _page(port: int, path: str) -> str:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=patience(10)) as reply:
        return str(reply.read().decode())


def test_a_gateway_that_is_gone_is_named(serving: Serving) -> None:
    serving.start()
    serving.kill()
    with (
        RemoteGateway(serving.relay, timeout_seconds=0.5) as gateway,
        pytest.raises(ConnectionFailed),
    ):
        gateway.identify(bytes(32))
