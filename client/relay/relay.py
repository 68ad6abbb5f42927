"""The resident relay: it keeps a SuperNode running and answers that SuperNode's tasks itself.

By itself a SuperNode starts a process for every message, and that process runs whatever code the
bundle from the SuperLink holds. Here the SuperNode hands its tasks out ("process" isolation), and
this process, which knows the five messages of :mod:`silosynth.client.relay.messages` and nothing
else, takes them. The bundle is never unpacked: no code from the coordinator runs at a silo.
"""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx
from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from silosynth.client.relay.first import FirstNode, Node
from silosynth.client.relay.messages import make_sealed_relay
from silosynth.client.relay.post import Post, post_of
from silosynth.client.relay.pushing import push_answer
from silosynth.client.relay.superlink_session import Session, open_session
from silosynth.client.rpc import RemoteGateway
from silosynth.common.errors import ConnectionFailed, InvalidArgument, SilosynthError
from silosynth.common.flower.supernode import pull_task_input
from silosynth.common.flower.wire import (
    AcquireTaskRequest,
    ErrorCode,
    HeartbeatSender,
    RuntimeHttpClient,
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SendTaskHeartbeatRequest,
    SuperExecAuthHttpInterceptor,
    TaskType,
)
from silosynth.common.reach import Overdue, clock_hint, free_port, look_at, within
from silosynth.common.telemetry import Telemetry, log, strip_colours

T = TypeVar("T")
_POLL_SECONDS = 0.1
_RESTART_SECONDS = 1.0
# A killed SuperNode whose session cannot be ended is taken for connected, and refused, for 60 s.
_REJOIN_SECONDS = 90.0
_SETTLED_SECONDS = 60.0
_PASS_SECONDS = 20.0
_START_SECONDS = 120.0
_UNKNOWN_KEY = "its key is not admitted, or another SuperNode runs with it"
_MOST_OF_A_LINE = 2_000
_STUCK = 70
"""The exit code of a SuperNode that ended itself (see supernode.py)."""
_PROTECTED = frozenset({"/flwr.proto.Runtime/AcquireTask"})
# The kernel is to end a SuperNode with its relay (PR_SET_PDEATHSIG). It asks for that itself, first
# of all: code of ours between fork and exec would run beside gRPC's threads, and abort at times.
_START = """\
import ctypes, os, signal
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != {parent}:
    os._exit(1)
from silosynth.common.flower.lean import be_quiet, spare_sql
be_quiet()
spare_sql()
from silosynth.client.relay.supernode import main
main(**{limits!r})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Where a silo's SuperLink and gateway are, and who the SuperNode is.

    ``ca`` verifies the SuperLink's certificate; without it the system's CAs do. ``heard`` is
    touched whenever the SuperLink answers the SuperNode. ``json_logs`` makes events of the
    SuperNode's lines, which otherwise go where the relay's go.
    """

    superlink: str
    silo: str
    gateway: Path
    key: Path
    ca: Path | None = None
    heard: Path | None = None
    json_logs: bool = False

    def __post_init__(self) -> None:
        for path in (self.key, *((self.ca,) if self.ca else ())):
            if not path.is_file():
                raise InvalidArgument(f"{path} is no file", hint="see 'silosynth certs --help'")


def serve_relay(
    settings: RelaySettings,
    *,
    telemetry: Telemetry,
    first: FirstNode | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Run a SuperNode and answer its tasks, until ``stopping``; start it again if it crashes.

    ``first`` is a SuperNode that was forked for it and waits; without one each is started afresh.

    Raises ConnectionFailed when the SuperNode gives up, as it does when the SuperLink does not know
    its key or shows a certificate of another CA.
    """
    with (
        open_session(superlink=settings.superlink, key=settings.key, ca=settings.ca) as session,
        _secret_file() as secret_file,
        RemoteGateway(settings.gateway) as gateway,
    ):
        _explain(settings)
        app = make_sealed_relay(lambda _: gateway, telemetry=telemetry, silo=settings.silo)
        give_up = time.monotonic() + _REJOIN_SECONDS
        waiting = [first] if first else []
        while not stopping():
            port, begun = free_port(), time.monotonic()
            _make_way(session, silo=settings.silo)
            with _supernode(settings, waiting, port=port, secret_file=secret_file) as node:
                log("relay-started", silo=settings.silo, superlink=settings.superlink)
                try:
                    secret, post = secret_file.read_bytes(), Post(post_of(secret_file))
                    _answer_tasks(app, node, port=port, secret=secret, post=post, stopping=stopping)
                except _Lost as err:
                    give_up = time.monotonic() + _REJOIN_SECONDS
                    log("supernode-restarted", silo=settings.silo, why=str(err))
                except ConnectionFailed as err:
                    why = _explain(settings)
                    if time.monotonic() - begun > _SETTLED_SECONDS:
                        give_up = time.monotonic() + _REJOIN_SECONDS
                    elif begun > give_up:
                        raise ConnectionFailed(err.message, hint=why or err.hint) from None
                    log("supernode-not-accepted", silo=settings.silo, why=why or _UNKNOWN_KEY)
            time.sleep(_RESTART_SECONDS)


def _explain(settings: RelaySettings) -> str | None:
    """Look at the SuperLink as Flower does; log and return why it would refuse us, if it shows."""
    try:
        words = look_at(settings.superlink, ca=settings.ca)
        why = words and f"{words}; {clock_hint()}"
    except SilosynthError as err:
        why = str(err)
    if why is not None:
        log("superlink-looks-wrong", level=logging.WARNING, silo=settings.silo, why=why)
    return why


def _make_way(session: Session, *, silo: str) -> None:
    """End the session of a SuperNode that was killed, so that the next is accepted at once."""
    if session.end_stale():
        log("stale-session-ended", silo=silo)


class _Lost(Exception):
    """The SuperNode crashed, or may wait for an answer that will never come."""


def _answer_tasks(
    app: ClientApp,
    node: Node,
    *,
    port: int,
    secret: bytes,
    post: Post,
    stopping: Callable[[], bool],
) -> None:
    """Answer the tasks of one SuperNode; raise _Lost when it has to be started again."""
    acquire = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=_PROTECTED)
    late, heard = time.monotonic() + _START_SECONDS, False
    with closing(_client(port, acquire)) as client:
        while not stopping():
            _check_alive(node)
            if not post.is_due():
                time.sleep(_POLL_SECONDS)
                continue
            token = _take_task(client, node)
            if token is None and (heard or time.monotonic() > late):
                raise _Lost("it does not listen")
            heard = heard or token is not None
            post.asked(heard=heard, answered=bool(token))
            if token:
                _answer_task(app, node, port=port, token=token)
            else:
                time.sleep(_POLL_SECONDS)


def _take_task(client: RuntimeHttpClient, node: Node) -> str | None:
    """Take a waiting task from the SuperNode; return its token, or None when nobody listens.

    A task whose token was lost on its way is held by nobody, so any other failure raises _Lost.
    """
    request = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
    try:
        return str(_passed(lambda: client.AcquireTask(request), what="a task").token)
    except _Lost as err:
        with suppress(subprocess.TimeoutExpired):
            node.wait(timeout=_RESTART_SECONDS)
        _check_alive(node)
        if isinstance(err.__cause__, httpx.ConnectError):
            return None
        raise


def _answer_task(app: ClientApp, node: Node, *, port: int, token: str) -> None:
    """Pull one message, answer it, push the answer.

    A SuperNode waits for an answer to each message before it takes the next, so where none can be
    pushed it has to be started again.
    """
    client = _client(port, RuntimeTokenHttpInterceptor(token))
    heartbeat = HeartbeatSender(lambda: _beat(client))
    heartbeat.start()
    try:
        message, context, _, _ = _passed(lambda: pull_task_input(client), what="a message")
        if message.metadata.run_id != context.run_id:
            raise _Lost("the message and its task are not of one run")
        answer = _answer(app, message, context)
        _passed(lambda: push_answer(client, answer, context), what="an answer")
    except _Lost:
        node.kill()
        raise
    finally:
        _end(heartbeat)
        client.close()


def _end(heartbeat: HeartbeatSender) -> None:
    """Stop a heartbeat; one that is within a call that stands still is left to end with it."""
    if heartbeat.is_running:
        with suppress(Overdue):
            within(_RESTART_SECONDS, heartbeat.stop, what="the end of a heartbeat")


def _passed(call: Callable[[], T], *, what: str) -> T:
    """Make one call to the SuperNode; raise _Lost when it fails or takes too long.

    Flower pulls an object that it does not get for up to two hours, and beats meanwhile.
    """
    try:
        return within(_PASS_SECONDS, call, what=what)
    except Exception as err:
        # Flower raises what its parsers and its transport come upon: there is no other name.
        raise _Lost(type(err).__name__) from err


def _answer(app: ClientApp, message: Message, context: Context) -> Message:
    """Return the relay's answer; for a message that it does not know, an error in fixed words."""
    try:
        return app(message=message, context=context)
    except Exception as err:
        # Flower would send the text of an error on to the coordinator.
        log("message-refused", kind=type(err).__name__)
        refusal = Error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason="no answer")
        return Message(refusal, reply_to=message)


def _beat(client: RuntimeHttpClient) -> bool:
    """Tell the SuperNode that its task is being answered; return whether it heard."""
    try:
        client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
    except (httpx.HTTPError, ValueError, RuntimeError):
        return False
    return True


def _client(
    port: int, interceptor: RuntimeTokenHttpInterceptor | SuperExecAuthHttpInterceptor
) -> RuntimeHttpClient:
    """Return a client of the SuperNode's own loopback port."""
    version = RuntimeVersionHttpInterceptor(component_name="flwr-clientapp")
    return RuntimeHttpClient.from_server_address(
        server_address=f"127.0.0.1:{port}",
        insecure=True,
        root_certificates=None,
        interceptors=[version, interceptor],
    )


@contextmanager
def _supernode(
    settings: RelaySettings, first: list[FirstNode], *, port: int, secret_file: Path
) -> Iterator[Node]:
    """Run a SuperNode that ends with this process, whatever ends it."""
    words = supernode_words(settings, port=port, secret_file=secret_file)
    limits = _limits(settings, post=post_of(secret_file))
    process: Node
    if first:
        process = node = first.pop()
        node.start(words, limits=limits, piped=settings.json_logs)
    else:
        process = _fresh_node(settings, words, limits=limits)
    if process.stdout is not None:
        lines = process.stdout
        threading.Thread(target=_pass_lines, args=(lines,), name="lines", daemon=True).start()
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pass_lines(lines: IO[bytes]) -> None:
    """Log what the SuperNode writes, line by line; it has seen no data."""
    with lines:
        for line in lines:
            text = strip_colours(line.decode("utf-8", "replace")).strip()
            if text:
                log("supernode", text=text[:_MOST_OF_A_LINE])


def _fresh_node(settings: RelaySettings, words: list[str], *, limits: dict[str, Any]) -> Node:
    """Start a SuperNode in an interpreter of its own."""
    start = _START.format(parent=os.getpid(), limits=limits)
    return subprocess.Popen(
        [sys.executable, "-c", start, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if settings.json_logs else None,
        stderr=subprocess.STDOUT if settings.json_logs else None,
    )


def supernode_words(settings: RelaySettings, *, port: int, secret_file: Path) -> list[str]:
    """Return the options of Flower's SuperNode."""
    words = [
        "--superlink",
        settings.superlink,
        "--auth-supernode-private-key",
        str(settings.key),
        "--node-config",
        f'silo="{settings.silo}" gateway="{settings.gateway.absolute()}"',
        "--isolation",
        "process",
        "--superexec-auth-secret-file",
        str(secret_file),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    return words + (["--root-certificates", str(settings.ca)] if settings.ca else [])


def _limits(settings: RelaySettings, *, post: Path) -> dict[str, Any]:
    """Return what ``supernode.main`` is told."""
    heard = str(settings.heard.absolute()) if settings.heard else None
    return {"seconds": _PASS_SECONDS, "stuck": _STUCK, "heard": heard, "post": str(post)}


def _check_alive(node: Node) -> None:
    """Raise _Lost when the SuperNode was killed or got stuck, ConnectionFailed when it gave up."""
    code = node.poll()
    if code == _STUCK:
        raise _Lost("stuck")
    if code is not None and code < 0:
        raise _Lost(f"killed by signal {-code}")
    if code is not None:
        raise ConnectionFailed(
            f"the SuperNode ended with code {code}",
            hint="its lines above say why: is its key admitted, is the CA right, is there a route?",
        )


@contextmanager
def _secret_file() -> Iterator[Path]:
    """Yield a file with a fresh secret, which lets this process alone take the node's tasks."""
    with tempfile.TemporaryDirectory(prefix="silosynth-relay-") as directory:
        path = Path(directory) / "secret"
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
        yield path
