"""A coordinator's side of Flower's SuperLink: begin a run there, take its task, speak to nodes.

The SuperLink runs no code of ours or of anybody ("process" isolation): it keeps messages. The
task of a run is taken by the process that began it. Source: Flower 1.41 and 1.42, Control and
Runtime APIs as their protocol buffers define them.
"""

from __future__ import annotations

import fcntl
import hashlib
import tempfile
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_public_key,
)

from silosynth.common.errors import ConnectionFailed, InvalidArgument
from silosynth.common.flower.bundle import Fab, build_fab_from_disk
from silosynth.common.flower.wire import (
    AcquireTaskRequest,
    AcquireTaskResponse,
    ControlHttpClient,
    HeartbeatSender,
    ListNodesRequest,
    PullTaskInputRequest,
    PullTaskInputResponse,
    PushTaskOutputRequest,
    RegisterNodeRequest,
    RuntimeHttpClient,
    RuntimeTokenHttpInterceptor,
    SendTaskHeartbeatRequest,
    StartRunRequest,
    StopRunRequest,
    SubStatus,
    SuperExecAuthHttpInterceptor,
    TaskIdentity,
    TaskType,
    UnregisterNodeRequest,
    fab_to_proto,
)
from silosynth.common.reach import Overdue, within
from silosynth.common.telemetry import log
from silosynth.server.federation.grid import SuperLinkGrid
from silosynth.server.federation.settings import Federation
from silosynth.server.federation.superlink_calls import (
    Patience,
    SuperLinkFault,
    ask,
    converted,
    insist,
    open_control,
    open_runtime,
)

_LEAVE_SECONDS = 5.0
_PROTECTED = frozenset({"/flwr.proto.Runtime/AcquireTask"})


@contextmanager
def open_grid(
    federation: Federation, *, lock: Path, patience: Patience | None = None
) -> Iterator[SuperLinkGrid]:
    """Begin a run at the SuperLink, take its task, and yield the grid to speak over.

    Args: lock: a file that keeps two coordinators of one home from taking each other's task.
    Raises ConnectionFailed when the SuperLink cannot be reached or does not accept us, and
    SuperLinkLost, from within the block too, when a run that had begun is over there.
    """
    waits = patience or Patience()
    run_id, token = insist(lambda: _begin(federation, lock, waits), patience=waits)
    interceptor = RuntimeTokenHttpInterceptor(token)
    with (
        open_runtime(federation, interceptor) as client,
        open_runtime(federation, interceptor) as other,
        _beating(other),
        _leaving(client),
    ):
        insist(lambda: _enter_run(client, waits), patience=waits, begun=True)
        log("superlink-run", superlink=federation.superlink, run=str(run_id))
        yield SuperLinkGrid(client, run_id=run_id)


def _begin(federation: Federation, lock: Path, patience: Patience) -> tuple[int, str]:
    """Begin a run at the SuperLink and take its task; return its id and the task's token."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run_id = _start_run(federation, patience)
        return run_id, _take_task(federation, run_id, patience)


@contextmanager
def _beating(client: RuntimeHttpClient) -> Iterator[None]:
    """Tell the SuperLink that the coordinator lives, until the block ends."""
    heart = HeartbeatSender(lambda: _beat(client))
    heart.start()
    try:
        yield
    finally:
        if heart.is_running:
            with suppress(Overdue):
                within(_LEAVE_SECONDS, heart.stop, what="the end of the heartbeat")


def _beat(client: RuntimeHttpClient) -> bool:
    """Send one heartbeat; return whether it was heard."""
    try:
        with converted():
            client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
    except ConnectionFailed:
        return False
    return True


@contextmanager
def _leaving(client: RuntimeHttpClient) -> Iterator[None]:
    """End the run at the SuperLink with the block, if it is still there."""
    done, details = SubStatus.FAILED, "the coordinator stopped"

    def leave() -> None:
        with converted():
            client.PushTaskOutput(PushTaskOutputRequest(sub_status=done, details=details))

    try:
        yield
        done, details = SubStatus.COMPLETED, ""
    finally:
        try:
            within(_LEAVE_SECONDS, leave, what="the end of a run")
        except ConnectionFailed:
            log("superlink-run-left-open")


def admit_nodes(federation: Federation, keys: dict[str, Path]) -> dict[str, int]:
    """Let SuperNodes with these public keys connect; return their node ids.

    Args: keys: the path of each silo's ``supernode.pub``. One that is admitted already stays so.
    """
    loaded = {name: _load_public_key(path) for name, path in keys.items()}

    patience = Patience()
    with open_control(federation) as client:

        def admit() -> dict[str, int]:
            known = {bytes(n.public_key).strip(): n for n in _nodes(client, patience)}
            admitted = {}
            for name, key in loaded.items():
                if key.strip() in known:
                    admitted[name] = int(known[key.strip()].node_id)
                    continue
                register = partial(
                    client.RegisterNode, RegisterNodeRequest(public_key=key, name=name)
                )
                reply = ask(register, patience=patience, what="the admission of a node")
                admitted[name] = int(reply.node_id)
            return admitted

        return insist(admit, patience=patience)


def dismiss_nodes(
    federation: Federation, names: Collection[str], *, keep: Path | None = None
) -> int:
    """Let the SuperNodes of these names connect no more; return how many there were.

    Args: keep: the public key of one that stays.
    """
    staying = b"" if keep is None else _load_public_key(keep).strip()
    patience = Patience()
    with open_control(federation) as client:

        def dismiss() -> int:
            gone = [
                n
                for n in _nodes(client, patience)
                if n.name in names and bytes(n.public_key).strip() != staying
            ]
            for node in gone:
                unregister = partial(
                    client.UnregisterNode, UnregisterNodeRequest(node_id=node.node_id)
                )
                ask(unregister, patience=patience, what="the dismissal of a node")
            return len(gone)

        return insist(dismiss, patience=patience)


def list_nodes(federation: Federation) -> dict[str, str]:
    """Return the status of every SuperNode that may connect, by its name."""
    patience = Patience()
    with open_control(federation) as client:
        nodes = insist(lambda: _nodes(client, patience), patience=patience)
    return {str(n.name): str(n.status) for n in nodes}


def _nodes(client: ControlHttpClient, patience: Patience) -> list:  # type: ignore[type-arg]  # Flower's generated type
    """Return what the SuperLink knows of its nodes."""
    request = ListNodesRequest()
    reply = ask(lambda: client.ListNodes(request), patience=patience, what="the list of nodes")
    return list(reply.nodes_info)


def _start_run(federation: Federation, patience: Patience) -> int:
    """Begin a run at the SuperLink and return its id."""
    bundle = build_bundle()
    fab = Fab(hashlib.sha256(bundle).hexdigest(), bundle, {})
    request = StartRunRequest(fab=fab_to_proto(fab))
    with open_control(federation) as client:
        reply = ask(lambda: client.StartRun(request), patience=patience, what="the begin of a run")
    return int(reply.run_id)


def _take_task(federation: Federation, run_id: int, patience: Patience) -> str:
    """Take the task of ``run_id``; drop those of coordinators that died before taking theirs.

    Each call has its own time: one that is overdue must not go on to drop the next run.
    """
    secret = SuperExecAuthHttpInterceptor(
        master_secret=federation.superexec_secret.read_bytes(), protected_methods=_PROTECTED
    )
    request = AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])
    with open_runtime(federation, secret) as client, open_control(federation) as control:

        def acquire() -> AcquireTaskResponse:
            return ask(lambda: client.AcquireTask(request), patience=patience, what="a task")

        while (reply := acquire()).token:
            if int(reply.task.run_id) == run_id:
                return str(reply.token)
            log("stale-run-dropped", run=str(reply.task.run_id))
            stop = StopRunRequest(run_id=reply.task.run_id)
            ask(partial(control.StopRun, stop), patience=patience, what="the end of a stale run")
    raise SuperLinkFault(  # an answer of ours that was lost may have had it
        "the SuperLink gave the run's task to somebody else",
        hint="start it with --isolation process and with no flower-superexec beside it",
    )


def _enter_run(client: RuntimeHttpClient, patience: Patience) -> None:
    """Activate the task, and tell Flower whose messages these are."""

    def pull() -> PullTaskInputResponse:
        reply = client.PullTaskInput(PullTaskInputRequest())
        if not reply.task_id:
            raise ValueError("no task")
        return reply

    reply = ask(pull, patience=patience, what="the start of a task", begun=True)
    TaskIdentity.task_id = reply.task_id
    TaskIdentity.run_id = reply.run.run_id
    TaskIdentity.node_id = reply.context.node_id


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
