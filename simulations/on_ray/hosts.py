"""Hosts: the Ray actors that have silos' gateways open, a share of the silos each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from silosynth.simulations.silos import KeptGateways

_STARTS = 3
_OPTIONS = {"num_cpus": 0, "max_restarts": 3}
"""A host that died comes back; whoever waited for it asks again (see node.py)."""


class Hosts:
    """Own the actors of a run; each is told of a silo by its name alone."""

    def __init__(self, directory: Path, *, count: int, held: bool) -> None:
        """Let Ray start them; nobody waits for that here. Arguments are KeptGateways'."""
        kind: Any = ray.remote(**_OPTIONS)(KeptGateways)
        self._actors = [
            kind.options(name=f"host-{i}").remote(directory, held=held) for i in range(count)
        ]


@contextmanager
def hosting(directory: Path, *, workers: int, held: bool) -> Iterator[Hosts]:
    """Start Ray on this machine with hosts in it, and end it afterwards.

    Ray gives up where its own processes do not start in time, as on a busy machine: it is begun
    again twice. A cluster that runs on this machine already is somebody else's, and left alone.
    """
    for left in reversed(range(_STARTS)):
        try:
            _start(workers)
            break
        except (ray.exceptions.RayError, RuntimeError, OSError, TimeoutError):
            ray.shutdown()
            if not left:
                raise
    try:
        hosts = Hosts(directory, count=workers, held=held)  # which end with the last reference
        yield hosts
    finally:
        # Flower's engine has shut it down where it came to its end.
        with suppress(Exception):
            ray.shutdown()


def _start(workers: int) -> None:
    """Start Ray: no dashboard, no output of workers, no usage statistics."""
    ray.init(
        address="local",
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
    )
