"""A sweep's runs as tasks of a Ray cluster; no other file of a sweep knows Ray.

The tables go to the cluster's workers as they are: it must be the researcher's own, and closed to
others, since Ray asks nobody who they are.
"""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from silosynth.common.errors import InvalidArgument, RunFailed
from silosynth.simulations.sweep.axes import Point

LOCAL = "local"
_ANSWER_SECONDS = 10.0


def run_on_ray(
    run: Callable[..., dict[str, Any]],
    base: object,
    left: Sequence[tuple[Point, int]],
    *,
    cluster: str,
) -> Generator[dict[str, Any], None, None]:
    """Yield the facts of each run as it ends, on whatever cores the cluster has.

    A run whose worker dies is begun again twice: it writes nothing but its facts.

    Args:
        run: lives through one run, given ``base``, the point and ``repeat``.
        cluster: ``HOST:PORT``, or ``local`` for one that ends with the sweep.
    Raises InvalidArgument for an address where no cluster is, RunFailed when it goes away.
    """
    with joined(cluster), _working(cluster):
        task = ray.remote(num_cpus=1, max_retries=2)(run)
        shared = ray.put(base)
        pending = [task.remote(shared, dict(p), repeat=r) for p, r in left]
        try:
            while pending:
                ready, pending = ray.wait(pending, num_returns=1)
                yield ray.get(ready[0])
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)


@contextmanager
def joined(cluster: str) -> Iterator[None]:
    """Connect to a Ray cluster, and leave it afterwards.

    Args: cluster: ``HOST:PORT``, or ``local`` for one that ends with the block.
    Raises InvalidArgument for an address where no cluster is.
    """
    if ray.is_initialized():
        yield
        return
    _check_answers(cluster)
    with warnings.catch_warnings():
        # Ray warns of its own future at every start.
        warnings.simplefilter("ignore", category=FutureWarning)
        try:
            ray.init(
                address=cluster,
                include_dashboard=False if cluster == LOCAL else None,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
            )
        except (ConnectionError, ValueError, RuntimeError) as err:
            raise _no_cluster(cluster) from err
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(cluster: str) -> None:
    """Raise InvalidArgument where nobody answers: Ray itself would try for minutes."""
    if cluster == LOCAL:
        return
    host, _, port = cluster.rpartition(":")
    if not host or not port.isdecimal():
        raise _no_cluster(cluster)
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as err:
        raise _no_cluster(cluster) from err


def _no_cluster(cluster: str) -> InvalidArgument:
    return InvalidArgument(
        f"no Ray cluster answers at {cluster}",
        hint="start one with 'ray start --head' and write its HOST:PORT, or --cluster local",
    )


@contextmanager
def _working(cluster: str) -> Iterator[None]:
    """Turn Ray's errors into ours."""
    try:
        yield
    except ray.exceptions.RayTaskError as err:
        raise RunFailed(
            f"a run failed on the cluster: {type(err.cause).__name__}: {err.cause}",
            hint="the same command goes on with the rest; without --cluster it runs here",
        ) from err
    except (ray.exceptions.RayError, ConnectionError, OSError) as err:
        raise RunFailed(
            f"the Ray cluster at {cluster} went away",
            hint="run the same command again: runs that ended are kept",
        ) from err
