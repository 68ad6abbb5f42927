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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socketpair
from types import FrameType

from silosynth.client.desk import Desk, Notes
from silosynth.client.noise import BitSource
from silosynth.client.policy import load_policy
from silosynth.client.serving.bell import LOOK_SECONDS, TOLD, Bell, ringing
from silosynth.client.serving.doors import open_doors, relay_listener
from silosynth.client.serving.fit_aside import fit_aside
from silosynth.client.serving.later import try_aside
from silosynth.client.serving.metered import open_metrics
from silosynth.client.serving.no_network import check_without_network, forbid_network
from silosynth.client.serving.notices import senders
from silosynth.client.serving.run_as import (
    ROOT,
    become,
    forbid_core_dumps,
    gateway_user,
    user_ids,
)
from silosynth.client.silo import ReadsFit, Silo, fits_of, looking, open_silo, prepare
from silosynth.common.errors import EXIT_BUG, InvalidArgument, SilosynthError
from silosynth.common.files import storage_error
from silosynth.common.telemetry import (
    Telemetry,
    log,
    logs_json,
    start_logging,
    take_in_others,
)

_NO_NETWORK = "--no-network"
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
    with ExitStack() as stack:
        relay = stack.enter_context(relay_listener(policy))
        relays = user_ids(policy.relay.users)
        if os.geteuid() == ROOT:
            become(gateway_user(policy))
        os.umask(0o077)
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
        telemetry = stack.enter_context(open_metrics(silo))
        fits = fits_of(policy, read=seams.read_fit or partial(fit_aside, policy))
        stack.enter_context(looking(fits, again_seconds=seams.forget_seconds))
        stack.enter_context(
            open_doors(silo, relay=relay, relays=relays, notes=notes, fits=fits, metrics=telemetry)
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
