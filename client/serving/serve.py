"""The gateway as a process: sockets first, then the privileges away, then ledger and tables.

SIGTERM and SIGINT end it after the requests at hand; SIGHUP changes nothing: a policy counts from
the next start on, so that no budget changes under a plan that is being answered.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket, socketpair
from types import FrameType

from silosynth.client.desk import SERVICE as OPERATOR_SERVICE
from silosynth.client.desk import Desk, Notes, budget, operator_socket, relay_socket
from silosynth.client.ledger import Ledger
from silosynth.client.noise import BitSource
from silosynth.client.policy import PolicyFile, load_policy
from silosynth.client.rpc import (
    DoorRules,
    FrontDoor,
    Method,
    RpcServer,
    Service,
    TurnedAway,
    bind_socket,
    gateway_service,
    given_socket,
    remove_socket,
)
from silosynth.client.rpc import gateway_pb2 as proto
from silosynth.client.serving.bell import LOOK_SECONDS, TOLD, Bell, ringing
from silosynth.client.serving.fit_aside import fit_aside
from silosynth.client.serving.later import try_aside
from silosynth.client.serving.metered import CountedGateway
from silosynth.client.serving.no_network import check_without_network, forbid_network
from silosynth.client.serving.notices import senders
from silosynth.client.serving.run_as import ROOT, become, forbid_core_dumps, group_id, user_ids
from silosynth.client.silo import Fits, ReadsFit, Silo, fits_of, looking, open_silo, prepare
from silosynth.common.audit import Scope
from silosynth.common.errors import EXIT_BUG, InvalidArgument, SilosynthError
from silosynth.common.files import storage_error
from silosynth.common.telemetry import (
    Role,
    Telemetry,
    TelemetryServer,
    log,
    logs_json,
    start_logging,
    take_in_others,
)

GRACE_SECONDS = 300.0
_NO_NETWORK = "--no-network"
_OPERATOR_MESSAGE_BYTES = 256_000_000
_OPERATOR_THREADS = 4
FORGET_SECONDS = 600.0
"""How often a gateway looks whether it holds rows that are no longer in their table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What tests put in the place of chance and of time; nothing in the product sets them."""

    bits: BitSource | None = None
    reached: Callable[[str], None] = lambda _: None
    forget_seconds: float = FORGET_SECONDS
    look_seconds: float = LOOK_SECONDS
    read_fit: ReadsFit | None = None


def serve(
    path: Path,
    *,
    network: bool = True,
    ready: Callable[[], None] = lambda: None,
    seams: Seams | None = None,
) -> None:
    """Serve a silo until SIGTERM or SIGINT.

    Args: network: False gives up the right to any socket but Unix ones, before anything is read.

    Raises InvalidArgument or InvalidPolicy when the policy does not allow it here,
    LedgerUnavailable when the ledger cannot be used.
    """
    policy = load_policy(path)
    if not network:
        check_without_network(policy)
        forbid_network()
    start_logging(as_json=policy.logs.format == "json")
    if policy.logs.format == "json":
        take_in_others(text=False)
    logging.getLogger("silosynth").setLevel(policy.logs.level.upper())
    logging.getLogger("grpc").addHandler(logging.NullHandler())
    logging.getLogger("grpc").propagate = False
    forbid_core_dumps()
    stop = StopSignal()
    relay = _relay_listener(policy)
    relays = user_ids(policy.relay.users)
    if os.geteuid() == ROOT:
        become(_run_as(policy))
    os.umask(0o077)
    with ExitStack() as stack:
        stack.enter_context(relay)
        stack.callback(remove_socket, relay_socket(policy))
        notes = Notes(heard=lambda: log("note", level=logging.WARNING, see="silo notes"))
        seams = seams or Seams()
        silo = stack.enter_context(
            open_silo(
                policy,
                bits=seams.bits,
                tell_operator=notes.tell,
                reached=seams.reached,
                opened=lambda datasets: try_aside(lambda: prepare(datasets)),
            )
        )
        telemetry = stack.enter_context(_metrics(silo))
        fits = fits_of(policy, read=seams.read_fit or partial(fit_aside, policy))
        stack.enter_context(looking(fits, again_seconds=seams.forget_seconds))
        stack.enter_context(
            _doors(silo, relay=relay, relays=relays, notes=notes, fits=fits, metrics=telemetry)
        )
        stack.enter_context(_bell(silo, telemetry, look_seconds=seams.look_seconds))
        log("serving", silo=policy.silo.name, pid=os.getpid())
        ready()
        while not stop.wait(seams.forget_seconds):
            silo.forget_stale()
        log("stopping")
    log("stopped")


class StopSignal:
    """Own what SIGTERM and SIGINT set, and the wait for it.

    Guarantees: a signal that comes just before a wait ends that wait. An Event that a handler sets
    does not: Python runs handlers between two steps of the main thread, and one that is about to
    sleep sleeps on. So the system's own handler writes to a socket that the wait reads.
    """

    def __init__(self) -> None:
        self._stopping = False
        self._woken, self._wakes = socketpair()
        self._wakes.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGHUP, self._stay)

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; return at once, and True, when the process shall end."""
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            self._woken.settimeout(left)
            with suppress(TimeoutError):
                self._woken.recv(64)
        return self._stopping

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _stay(self, _number: int, _frame: FrameType | None) -> None:
        log("reload-ignored", hint="restart the gateway for a new policy")


def _run_as(policy: PolicyFile) -> str:
    """Return the user to become; raise InvalidArgument when root would have to read the data."""
    if policy.silo.run_as is None:
        raise InvalidArgument(
            "a gateway does not run as root", hint="name its own user as run_as under [silo]"
        )
    return policy.silo.run_as


def _relay_listener(policy: PolicyFile) -> socket:
    """Return the relay's socket: systemd's, or one bound here and given to the relay's user."""
    as_root = os.geteuid() == ROOT
    if as_root:
        _run_as(policy)
    given = given_socket(os.environ)
    if given is not None:
        return given
    owner = None
    if as_root:
        relays = sorted(user_ids(policy.relay.users))
        if len(relays) > 1:
            raise InvalidArgument(
                "a socket of mode 0600 has one owner, and the policy names several relay users",
                hint="name one, or let systemd make the socket",
            )
        owner = relays[0] if relays else min(user_ids([_run_as(policy)]))
    return bind_socket(relay_socket(policy), owner=owner, group=group_id(policy.relay.group))


@contextmanager
def _metrics(silo: Silo) -> Iterator[Telemetry]:
    """Serve metrics and health on loopback where the policy names a port."""
    telemetry = Telemetry(role=Role.GATEWAY)
    metrics = silo.policy.metrics
    if metrics.port is None and metrics.socket is None:
        yield telemetry
        return

    def healthy() -> bool:
        with suppress(SilosynthError):
            return bool(silo.ledger.head)
        return False

    def show() -> None:
        _show_budgets(silo.ledger, scopes, telemetry)
        with suppress(SilosynthError):
            telemetry.waits(silo.policy.silo.name, plans=silo.ledger.waits())

    scopes = tuple(silo.policy.scope_caps())
    place: int | socket = metrics.port or 0
    if metrics.socket is not None:
        path, group = Path(metrics.socket), group_id(silo.policy.relay.group)
        place = bind_socket(path, group=group)
    with TelemetryServer(
        telemetry,
        port=place,
        healthy=healthy,
        before_metrics=show,
    ) as server:
        log("metrics", at=metrics.socket or str(server.port))
        yield telemetry
    if metrics.socket is not None:
        remove_socket(Path(metrics.socket))


@contextmanager
def _bell(silo: Silo, telemetry: Telemetry, *, look_seconds: float) -> Iterator[None]:
    """Tell whom the policy names of plans that wait, where it names anybody."""
    ways = senders(silo.policy.notify)
    if not ways:
        yield
        return
    desk = Desk(policy=silo.policy, key=silo.key, ledger=silo.ledger)
    bell = Bell(
        silo=silo.policy.silo.name,
        ways=ways,
        waiting=desk.pending,
        told=Path(silo.policy.silo.directory) / TOLD,
        telemetry=telemetry,
    )
    with ringing(bell, look_seconds=look_seconds):
        yield


def _show_budgets(ledger: Ledger, scopes: Sequence[Scope], telemetry: Telemetry) -> None:
    """State each scope's budget; nothing when the ledger cannot be read."""
    with suppress(SilosynthError):
        for scope in scopes:
            figures = budget(ledger, scope)
            telemetry.budget(scope=scope.kind.value, name=scope.name, **figures)


@contextmanager
def _doors(
    silo: Silo,
    *,
    relay: socket,
    relays: frozenset[int],
    notes: Notes,
    fits: Fits,
    metrics: Telemetry,
) -> Iterator[None]:
    """Open the relay's door and the operator's; close them when the requests at hand are done."""
    ours = frozenset({os.geteuid(), ROOT})
    inner = _private_folder(Path(silo.policy.silo.directory) / "inner")
    counted = CountedGateway(gateway=silo.gateway, telemetry=metrics)
    desk = Desk(policy=silo.policy, key=silo.key, ledger=silo.ledger, notes=notes, fits=fits)
    public = operator_socket(silo.policy)
    with (
        _door(
            {inner / "g": gateway_service(counted)},
            listener=relay,
            inner=dict.fromkeys(relays | ours, inner / "g"),
            message_bytes=silo.policy.caps.message_mb * 1_000_000,
        ),
        _door(
            {inner / f"o{user}": _operator_service(desk, user=user) for user in ours},
            listener=bind_socket(public),
            inner={user: inner / f"o{user}" for user in ours},
            message_bytes=_OPERATOR_MESSAGE_BYTES,
            threads=_OPERATOR_THREADS,
        ),
    ):
        yield
    remove_socket(public)


@contextmanager
def _door(
    services: Mapping[Path, Service],
    *,
    listener: socket,
    inner: Mapping[int, Path],
    message_bytes: int,
    threads: int = 16,
) -> Iterator[None]:
    """Answer services behind a front door, and let the calls at hand finish at the end.

    Args: inner: at which of the services' sockets each user who is let in arrives.
    """
    name = next(iter(services.values())).name.rpartition(".")[2].lower()

    def failed(method: str, error: BaseException) -> None:
        log("failed", level=logging.ERROR, method=method, exception=type(error).__name__)

    def turned_away(why: TurnedAway, user: int) -> None:
        log("turned-away", level=logging.WARNING, door=name, why=why.value, user=user)

    servers = [
        RpcServer(service, socket=at, message_bytes=message_bytes, threads=threads, failed=failed)
        for at, service in services.items()
    ]
    rules = DoorRules(users=frozenset(inner))
    door = FrontDoor(listener, inner=inner.__getitem__, rules=rules, turned_away=turned_away)
    try:
        yield
    finally:
        door.close_to_new()
        for stopped in [server.stop(grace_seconds=GRACE_SECONDS) for server in servers]:
            stopped.wait()
        door.close()


def _operator_service(desk: Desk, *, user: int) -> Service:
    """Return the service through which one user reaches the desk.

    gRPC does not tell who speaks: the front door knows, and leads each user to a socket apart.
    """
    ask = Method(
        request=proto.AskRequest,
        respond=lambda m: proto.AskReply(answer=desk.answer(m.question, user=user)),
    )
    return Service(name=OPERATOR_SERVICE, methods={"Ask": ask})


def _private_folder(path: Path) -> Path:
    """Return a folder that this user alone can enter, without sockets of a gateway before."""
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    for left_over in path.iterdir():
        remove_socket(left_over)
    return path


def _not_serving(error: SilosynthError) -> int:
    """Say why a gateway does not serve, to its operator alone; return the exit code."""
    if logs_json():
        log("not-serving", level=logging.ERROR, code=error.code, why=str(error))
    else:
        log("not-serving", level=logging.ERROR, code=error.code)
        sys.stderr.write(f"error: {error}\n")
    return error.exit_code


def main(arguments: list[str] | None = None) -> int:
    """Serve the policy that the command line names; return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) < 2 or words[0] != "--policy" or words[2:] not in ([], [_NO_NETWORK]):
        usage = f"--policy FILE [{_NO_NETWORK}]"
        sys.stderr.write(f"usage: python -m silosynth.client.serving.process {usage}\n")
        return InvalidArgument.exit_code
    try:
        serve(Path(words[1]), network=len(words) == 2)
    except SilosynthError as err:
        return _not_serving(err)
    except OSError as err:
        failure = storage_error(err)
        if failure is None:
            log("not-serving", level=logging.ERROR, code="bug", exception=type(err).__name__)
            return EXIT_BUG
        return _not_serving(failure)
    except Exception as err:
        # No text of it: a person's row may be in it.
        log("not-serving", level=logging.ERROR, code="bug", exception=type(err).__name__)
        return EXIT_BUG
    return 0
