"""Reproduce a federation on one machine: Flower's simulation engine, with Ray workers as silos."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flwr.app import Context
from flwr.app.typing import ConfigRecordValues
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from silosynth.client.app import make_relay
from silosynth.client.gateway import AnswersRequests
from silosynth.common.errors import RunFailed, SilosynthError
from silosynth.common.plan import Plan, Request
from silosynth.common.schema import Schema
from silosynth.server.app import find_silos, send_requests
from silosynth.server.coordinator import Event, State
from silosynth.server.drive import Progress, drive
from silosynth.server.journal import Journal
from silosynth.simulations.silos import SiloDirectory, open_gateway

_CONNECT_SECONDS = 120.0


class _WorkerGateway:
    """Open a silo's gateway for one request, in the worker's process.

    The ledger lets one process in at a time, and Ray may serve a silo from another worker next
    time, so nothing stays open between requests.
    """

    def __init__(self, silo: SiloDirectory) -> None:
        self._silo = silo

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        """Answer one request."""
        with open_gateway(self._silo) as gateway:
            return gateway.answer(plan=plan, request=request)


def run_cluster(
    plan: Plan,
    schema: Schema,
    *,
    silos: Sequence[SiloDirectory],
    journal: Journal,
    progress: Callable[[Progress], None] = lambda _: None,
    workers: int | None = None,
) -> State:
    """Drive a plan over Flower messages, each silo a SuperNode on Ray.

    Args: workers: Ray worker processes; as many as cores, and at most one a silo, by default.
    Raises what :func:`drive` raises; RunFailed when the engine itself gives up.
    """
    ended: list[State | SilosynthError] = []
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, _context: Context) -> None:
        try:
            nodes = find_silos(grid, silos=plan.silos, timeout_seconds=_CONNECT_SECONDS)

            def send(requests: Sequence[Request]) -> Iterator[Event]:
                return iter(send_requests(grid, requests, plan=plan, nodes=nodes))

            ended.append(drive(plan, schema, journal=journal, send=send, progress=progress))
        except SilosynthError as err:
            ended.append(err)

    paths = [silo.path.resolve() for silo in silos]
    relay = make_relay(
        name_silo=lambda context: _silo_of(context, paths).name,
        reach_gateway=lambda context: _reach(context, paths),
    )
    with _quiet_engine():
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
            "num_cpus": workers,
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": "error",
        },
    }


def _silo_of(context: Context, paths: Sequence[Path]) -> SiloDirectory:
    """Return the silo that a simulated SuperNode stands for."""
    return SiloDirectory(path=paths[int(context.node_config["partition-id"])])


def _reach(context: Context, paths: Sequence[Path]) -> AnswersRequests:
    """Return the gateway of a simulated SuperNode."""
    return _WorkerGateway(_silo_of(context, paths))


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
def _quiet_engine() -> Iterator[None]:
    """Keep Flower's and Ray's own log lines off the screen while the engine runs."""
    loggers = [logging.getLogger(name) for name in ("flwr", "ray")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
