"""Reproduce a federation on one machine: Flower's simulation engine carries the messages.

A node of Flower's speaks for a chunk of silos, whose gateways stay open in processes of Ray's.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from signal import SIGINT
from threading import current_thread, get_ident, main_thread
from types import FrameType
from typing import Any, TextIO, cast

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from silosynth.common.errors import RunFailed, SilosynthError
from silosynth.common.messages import Request
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema
from silosynth.server.coordinator import Agree, Event, State
from silosynth.server.driver import Generator, Journal, Progress, no_generator
from silosynth.server.driver.drive import drive
from silosynth.simulations.flower import find_nodes, send_requests, send_steps
from silosynth.simulations.on_ray import Chunks, hosting, make_node
from silosynth.simulations.one_process import fits_memory
from silosynth.simulations.silos import SiloDirectory

_CONNECT_SECONDS = 600.0
_SIGNED_BYTES = 2_000


def _synced(events: Iterable[Event], *, held: bool) -> Iterator[Event]:
    """Pass a phase's answers on once every charge behind them is on disk: one sync a phase.

    A sync is of the whole machine's disks. Where ledgers sync by themselves, answers pass at once.
    """
    if not held:
        yield from events
        return
    waiting = list(events)
    if waiting:
        os.sync()
    yield from waiting


def run_cluster(
    plan: Plan,
    schema: Schema,
    *,
    silos: Sequence[SiloDirectory],
    journal: Journal,
    progress: Callable[[Progress], None] = lambda _: None,
    workers: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
    imagine: Generator = no_generator,
) -> State:
    """Drive a plan over Flower messages, each chunk of silos a SuperNode, their gateways on Ray.

    Args: workers: processes that have silos' gateways; as many as cores, and at most one a silo,
        by default.
    Raises what :func:`drive` raises; RunFailed when the engine itself gives up.
    """
    ended: list[State | SilosynthError] = []
    held = fits_memory(plan)
    stopped, ours = threading.Event(), set[int]()
    count = min(workers or os.cpu_count() or 1, len(silos))
    chunks = Chunks.of(plan.silos, hosts=count, silo_bytes=_silo_bytes(plan))
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, _context: Context) -> None:
        ours.add(get_ident())
        try:
            nodes = find_nodes(
                grid,
                chunks=chunks,
                timeout_seconds=_CONNECT_SECONDS,
                stopping=stopped.is_set,
            )

            def send(requests: Sequence[Request]) -> Iterator[Event]:
                events = send_requests(
                    grid, requests, plan=plan, nodes=nodes, stopping=stopped.is_set
                )
                return _synced(events, held=held)

            def agree(steps: Sequence[Agree]) -> Iterator[Event]:
                return send_steps(grid, steps, plan=plan, nodes=nodes, stopping=stopped.is_set)

            ended.append(
                drive(
                    plan,
                    schema,
                    journal=journal,
                    send=send,
                    agree=agree,
                    imagine=imagine,
                    progress=progress,
                    tell=tell,
                )
            )
        except SilosynthError as err:
            ended.append(err)

    directory = silos[0].path.resolve().parent
    with (
        _quiet_engine(ours=ours),
        _interruptible(stopped),
        hosting(directory, workers=count, held=held),
    ):
        run_simulation(
            server_app=server_app,
            client_app=make_node(),
            num_supernodes=chunks.count,
            backend_config={
                "client_resources": {"num_cpus": count // chunks.at_once, "num_gpus": 0.0}
            },
        )
    return _result(ended)


def _silo_bytes(plan: Plan) -> int:
    """Return about how many bytes the largest request or answer of a silo has.

    A request of a sum holds what every silo signed.
    """
    cells = 8 * max(phase.cells for phase in plan.phases)
    return cells + (_SIGNED_BYTES * len(plan.silos) if plan.masked else 0)


def _result(ended: Sequence[State | SilosynthError]) -> State:
    """Return the state that the ServerApp ended with, or raise its error."""
    if not ended:
        raise RunFailed(
            "the simulation engine stopped before the run ended",
            hint="run the same command again to resume, or use --engine local",
        )
    last = ended[-1]
    if isinstance(last, SilosynthError):
        raise last
    return last


@contextmanager
def _interruptible(stopped: threading.Event) -> Iterator[None]:
    """Let Ctrl-C end the engine and nothing else, and tell the ServerApp's thread to end.

    The engine turns an interrupt into errors of its own, so what it raises after one is dropped.
    """
    interrupted = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        stopped.set()
        signal.default_int_handler(number, frame)

    ours = current_thread() is main_thread() and signal.getsignal(SIGINT) is not signal.SIG_IGN
    before = signal.signal(SIGINT, interrupt) if ours else None
    try:
        yield
    except Exception as err:
        if interrupted.is_set():
            raise KeyboardInterrupt from err
        raise RunFailed(
            f"the simulation engine gave up ({_cause(err)})",
            hint="run the same command again, or --engine local",
        ) from err
    finally:
        stopped.set()
        if ours:
            signal.signal(SIGINT, before)
    if interrupted.is_set():
        raise KeyboardInterrupt


def _cause(error: BaseException) -> str:
    """Name in one line what an error of the engine came from."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".removesuffix(": ")


class _Results:
    """Standard output, where results go: of what runs here only ``ours`` may write there.

    Ray says on it which processes died, whatever it was told.
    """

    def __init__(self, whole: TextIO, ours: Container[int]) -> None:
        self._whole, self._ours = whole, ours

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole if get_ident() in self._ours else sys.stderr, name)


@contextmanager
def _quiet_engine(*, ours: Container[int]) -> Iterator[None]:
    """Keep Flower's and Ray's own log lines off the screen while the engine runs.

    Args: ours: the threads, by their identifiers, that may write to standard output.
    """
    loggers = [logging.getLogger(name) for name in ("flwr", "ray")]
    levels = [logger.level for logger in loggers]
    results = cast(TextIO, _Results(sys.stdout, ours))
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(results):
            warnings.simplefilter("ignore", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
