"""A coordinator's side of Flower's SuperLink: begin a run there, take its task, speak to nodes.

The SuperLink runs no code of ours or of anybody ("process" isolation): it keeps messages. The
task of a run is taken by the process that began it. Source: Flower 1.41, Control and Runtime APIs
as their protocol buffers define them.
"""

from __future__ import annotations

import fcntl
import hashlib
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_public_key,
)
from flwr.cli.build import build_fab_from_disk
from flwr.common.constant import SubStatus
from flwr.common.serde import fab_to_proto, run_from_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
)
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.serverapp import Grid
from flwr.supercore.constant import TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.retry import RetryInvoker, constant
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from silosynth.common.errors import ConnectionFailed, InvalidArgument
from silosynth.common.telemetry import log
from silosynth.server.federation.settings import Federation

_PATIENCE_SECONDS = 60.0
_RETRY_SECONDS = 0.5
_PROTECTED = frozenset({"/flwr.proto.Runtime/AcquireTask"})
_DENIED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)


class SuperLinkLost(ConnectionFailed):
    """The SuperLink ended our run there, or stayed away: begin another run and go on."""


@contextmanager
def open_grid(federation: Federation, *, lock: Path) -> Iterator[Grid]:
    """Begin a run at the SuperLink, take its task, and yield the grid to speak over.

    Args: lock: a file that keeps two coordinators of one home from taking each other's task.
    Raises ConnectionFailed when the SuperLink cannot be reached or does not accept us, and
    SuperLinkLost, from within the block too, when a run that had begun is over there.
    """
    with _converted(), lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run_id = _start_run(federation)
        token = _take_task(federation, run_id)
    grid = HttpGrid(
        runtime_api_address=federation.superlink,
        root_certificates=federation.ca.read_bytes(),
        token=token,
    )
    grid._retry_invoker = _retries()
    heart = HeartbeatSender(lambda: _beat(federation, token))
    done, details = SubStatus.FAILED, "the coordinator stopped"
    try:
        with _converted(begun=True):
            _enter_run(grid)
            heart.start()
            log("superlink-run", superlink=federation.superlink, run=str(run_id))
            yield grid
        done, details = SubStatus.COMPLETED, ""
    finally:
        if heart.is_running:
            heart.stop()
        _leave_run(grid, done, details=details)


def admit_nodes(federation: Federation, keys: dict[str, Path]) -> dict[str, int]:
    """Let SuperNodes with these public keys connect; return their node ids.

    Args: keys: the path of each silo's ``supernode.pub``. One that is admitted already stays so.
    """
    loaded = {name: _load_public_key(path) for name, path in keys.items()}
    with _converted(), _control(federation) as client:
        known = {bytes(n.public_key).strip(): n for n in _nodes(client)}
        admitted = {}
        for name, key in loaded.items():
            if key.strip() in known:
                admitted[name] = int(known[key.strip()].node_id)
                continue
            reply = client.RegisterNode(RegisterNodeRequest(public_key=key, name=name))
            admitted[name] = int(reply.node_id)
    return admitted


def list_nodes(federation: Federation) -> dict[str, str]:
    """Return the status of every SuperNode that may connect, by its name."""
    with _converted(), _control(federation) as client:
        return {str(n.name): str(n.status) for n in _nodes(client)}


def _nodes(client: ControlHttpClient) -> list:  # type: ignore[type-arg]  # Flower's generated type
    """Return what the SuperLink knows of its nodes."""
    return list(client.ListNodes(ListNodesRequest()).nodes_info)


def _start_run(federation: Federation) -> int:
    """Begin a run at the SuperLink and return its id."""
    bundle = build_bundle()
    fab = Fab(hashlib.sha256(bundle).hexdigest(), bundle, {})
    with _control(federation) as client:
        return int(client.StartRun(StartRunRequest(fab=fab_to_proto(fab))).run_id)


def _take_task(federation: Federation, run_id: int) -> str:
    """Take the task of ``run_id``; drop those of coordinators that died before taking theirs."""
    secret = SuperExecAuthHttpInterceptor(
        master_secret=federation.superexec_secret.read_bytes(), protected_methods=_PROTECTED
    )
    request = AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])
    with _runtime(federation, secret) as client, _control(federation) as control:
        while (reply := client.AcquireTask(request)).token:
            if int(reply.task.run_id) == run_id:
                return str(reply.token)
            log("stale-run-dropped", run=str(reply.task.run_id))
            control.StopRun(StopRunRequest(run_id=reply.task.run_id))
    raise ConnectionFailed(
        "the SuperLink gave the run's task to somebody else",
        hint="start it with --isolation process and with no flower-superexec beside it",
    )


def _enter_run(grid: HttpGrid) -> None:
    """Activate the task, and tell Flower whose messages these are."""
    reply = grid._runtime_client.PullTaskInput(PullTaskInputRequest())
    TaskIdentity.task_id = reply.task_id
    TaskIdentity.run_id = reply.run.run_id
    TaskIdentity.node_id = reply.context.node_id
    grid.set_run(run_from_proto(reply.run))


def _leave_run(grid: HttpGrid, done: str, *, details: str) -> None:
    """End the run at the SuperLink, if it is still there."""
    grid._retry_invoker.max_tries = 1
    try:
        request = PushTaskOutputRequest(sub_status=done, details=details)
        grid._runtime_client.PushTaskOutput(request)
    except (httpx.HTTPError, RunNotRunningException):
        log("superlink-run-left-open")
    grid.close()


def _beat(federation: Federation, token: str) -> bool:
    """Tell the SuperLink that the coordinator lives; return whether it heard."""
    try:
        with _runtime(federation, RuntimeTokenHttpInterceptor(token)) as client:
            client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
    except httpx.HTTPError:
        return False
    return True


@contextmanager
def _control(federation: Federation) -> Iterator[ControlHttpClient]:
    """Yield a client of the Control API."""
    client = ControlHttpClient.from_server_address(
        server_address=federation.superlink,
        insecure=False,
        root_certificates=_read_ca(federation),
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
        retry_invoker=_retries(),
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _runtime(
    federation: Federation,
    interceptor: SuperExecAuthHttpInterceptor | RuntimeTokenHttpInterceptor,
) -> Iterator[RuntimeHttpClient]:
    """Yield a client of the Runtime API."""
    version = RuntimeVersionHttpInterceptor(component_name="flwr-serverapp")
    client = RuntimeHttpClient.from_server_address(
        server_address=federation.superlink,
        insecure=False,
        root_certificates=_read_ca(federation),
        interceptors=[version, interceptor],
    )
    try:
        yield client
    finally:
        client.close()


def _read_ca(federation: Federation) -> bytes:
    """Return the CA's certificate."""
    try:
        return federation.ca.read_bytes()
    except OSError as err:
        raise InvalidArgument(f"cannot read the CA {federation.ca}: {err.strerror}") from None


def _retries() -> RetryInvoker:
    """Try again while the SuperLink restarts, and give up at once when it says no."""
    return RetryInvoker(
        lambda: constant(_RETRY_SECONDS),
        (httpx.TransportError, httpx.HTTPStatusError),
        max_tries=None,
        max_time=_PATIENCE_SECONDS,
        should_giveup=_is_final,
    )


def _is_final(error: Exception) -> bool:
    """Tell whether trying again is of no use."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code < 500
    return "certificate" in str(error).lower()


@contextmanager
def _converted(*, begun: bool = False) -> Iterator[None]:
    """Turn the errors of HTTP and of Flower into ours."""
    try:
        yield
    except RunNotRunningException as err:
        raise SuperLinkLost("the SuperLink ended the run") from err
    except httpx.HTTPStatusError as err:
        kind = SuperLinkLost if begun else ConnectionFailed
        raise kind(
            f"the SuperLink answered {err.response.status_code} to {err.request.url.path}",
            hint="is the superexec secret the SuperLink's?" if _denied(err) else None,
        ) from err
    except httpx.TransportError as err:
        kind = SuperLinkLost if begun else ConnectionFailed
        raise kind(
            f"no connection to the SuperLink: {type(err).__name__}",
            hint="is it running, and is its certificate signed by the federation's CA?",
        ) from err


def _denied(error: httpx.HTTPStatusError) -> bool:
    """Tell whether the SuperLink did not accept us."""
    return error.response.status_code in _DENIED


def build_bundle() -> bytes:
    """Return Flower's bundle of the app: a manifest and a licence, no code."""
    manifest = (
        files("silosynth.server.federation").joinpath("flower_app.toml").read_text(encoding="utf-8")
    )
    with tempfile.TemporaryDirectory(prefix="silosynth-app-") as name:
        directory = Path(name)
        (directory / "pyproject.toml").write_text(manifest, encoding="utf-8")
        (directory / "LICENSE").write_text("Apache-2.0\n", encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=DeprecationWarning)  # of Flower's own imports
            return bytes(build_fab_from_disk(directory))


def _load_public_key(path: Path) -> bytes:
    """Return a SuperNode's public key in the form that the SuperLink takes."""
    try:
        key = load_ssh_public_key(path.read_bytes())
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    except (OSError, ValueError):
        raise InvalidArgument(
            f"{path} is no public key of a SuperNode", hint="give the file supernode.pub"
        ) from None
