"""Reproduce a federation on one machine: Flower's simulation engine, with Ray workers as silos."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from signal import SIGINT
from threading import current_thread, main_thread
from types import FrameType

from flwr.app import Context
from flwr.app.typing import ConfigRecordValues
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from silosynth.client.gateway import Gateway
from silosynth.client.relay import make_relay
from silosynth.client.rpc import AnswersRequests
from silosynth.common.codec import Codec
from silosynth.common.errors import RunFailed, SilosynthError
from silosynth.common.messages import Request
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema, load_schema
from silosynth.server.coordinator import Agree, Event, State
from silosynth.server.driver import Generator, Journal, Progress, no_generator
from silosynth.server.driver.drive import drive
from silosynth.simulations.flower import find_silos, send_requests, send_steps
from silosynth.simulations.one_process import HeldLedgers, OneProcess, fits_memory
from silosynth.simulations.silos import SiloDirectory, open_gateway

_CONNECT_SECONDS = 600.0
_CHUNK = 64


class _WorkerGateway:
    """Open a silo's gateway for one request, in the worker's process.

    Ray may serve a silo from another worker next time, so no ledger stays open between requests;
    what all silos read alike does. An answer leaves the worker once its charge is in the ledger's
    file, and whoever waits for it syncs before it goes on: see :func:`_in_chunks`.
    """

    def __init__(self, silo: SiloDirectory, *, held: bool) -> None:
        self._silo, self._held = silo, held

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        """Answer one request."""
        return self._ask(lambda gateway: gateway.answer(plan=plan, request=request))

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        """Take one step towards a sum."""
        return self._ask(lambda gateway: gateway.agree(plan=plan, step=step))

    def _ask(self, call: Callable[[Gateway], bytes]) -> bytes:
        """Ask the gateway one thing, with its ledger in memory or in its file."""
        schema = self._silo.schema
        shared = _shared(schema, schema.stat().st_mtime_ns, self._held)
        if shared.ledgers is None:
            with open_gateway(self._silo, shared=shared) as gateway:
                return call(gateway)
        with _alone_with(self._silo.ledger):
            try:
                with open_gateway(self._silo, shared=shared) as gateway:
                    answer = call(gateway)
                    shared.ledgers.settle(sync=False)
            finally:
                shared.ledgers.let_go(self._silo.ledger)
        return answer


@lru_cache(maxsize=1)
def _shared(schema: Path, changed: int, held: bool) -> OneProcess:
    """Return what the silos of a worker's process share, while the schema's file is the same."""
    del changed
    ledgers = HeldLedgers() if held else None
    return OneProcess(codec=Codec(load_schema(schema)), ledgers=ledgers)


@contextmanager
def _alone_with(ledger: Path) -> Iterator[None]:
    """Let no other worker have a silo's ledger meanwhile: each would write its own over it."""
    with ledger.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _in_chunks(events: Iterable[Event], *, held: bool) -> Iterator[Event]:
    """Pass answers on by chunks, once every charge behind them is on disk: one sync a chunk."""
    waiting: list[Event] = []
    for event in events:
        waiting.append(event)
        if not held or len(waiting) == _CHUNK:
            yield from _synced(waiting, held=held)
            waiting = []
    yield from _synced(waiting, held=held)


def _synced(events: list[Event], *, held: bool) -> list[Event]:
    if held and events:
        os.sync()
    return events


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
    """Drive a plan over Flower messages, each silo a SuperNode on Ray.

    Args: workers: Ray worker processes; as many as cores, and at most one a silo, by default.
    Raises what :func:`drive` raises; RunFailed when the engine itself gives up.
    """
    ended: list[State | SilosynthError] = []
    held = fits_memory(plan)
    stopped = threading.Event()
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, _context: Context) -> None:
        try:
            nodes = find_silos(
                grid,
                silos=plan.silos,
                timeout_seconds=_CONNECT_SECONDS,
                stopping=stopped.is_set,
            )

            def send(requests: Sequence[Request]) -> Iterator[Event]:
                events = send_requests(
                    grid, requests, plan=plan, nodes=nodes, stopping=stopped.is_set
                )
                return _in_chunks(events, held=held)

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

    paths = [silo.path.resolve() for silo in silos]
    relay = make_relay(
        name_silo=lambda context: _silo_of(context, paths).name,
        reach_gateway=lambda context: _reach(context, paths, held=held),
    )
    with _quiet_engine(), _interruptible(stopped):
        run_simulation(
            server_app=server_app,
            client_app=relay,
            num_supernodes=len(silos),
            backend_config=_backend(min(workers or os.cpu_count() or 1, len(silos))),
        )
    return _result(ended)


def _backend(workers: int) -> dict[str, dict[str, ConfigRecordValues]]:
    """Return Ray's settings: no dashboard, no output of workers, no usage statistics."""
    return {
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        "init_args": {
            # A cluster that runs on this machine already is somebody else's.
            "address": "local",
            "num_cpus": workers,
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": "critical",
        },
    }


def _silo_of(context: Context, paths: Sequence[Path]) -> SiloDirectory:
    """Return the silo that a simulated SuperNode stands for."""
    return SiloDirectory(path=paths[int(context.node_config["partition-id"])])


def _reach(context: Context, paths: Sequence[Path], *, held: bool) -> AnswersRequests:
    """Return the gateway of a simulated SuperNode."""
    return _WorkerGateway(_silo_of(context, paths), held=held)


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


@contextmanager
def _quiet_engine() -> Iterator[None]:
    """Keep Flower's and Ray's own log lines off the screen while the engine runs."""
    loggers = [logging.getLogger(name) for name in ("flwr", "ray")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
