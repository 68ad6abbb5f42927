"""Silos on the machines of a Ray cluster: an actor a silo, which keeps its processes.

Ray places them, and nothing else of a run knows it. A silo's table and key go to the machine that
it is placed on, and Ray asks nobody who they are: the cluster must be the researcher's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray

from silosynth.common.errors import RunFailed
from silosynth.common.plan import Plan
from silosynth.simulations.real_time.host import SiloHost
from silosynth.simulations.real_time.parcels import RunParcel, SiloNotes, WireParcel
from silosynth.simulations.real_time.wire import Host, Wire, wired
from silosynth.simulations.sweep import joined

_CORES_A_SILO = 0.25
_END_SECONDS = 60.0


class HostOnRay:
    """Own a silo's actor, and speak to it as to a host of this machine."""

    def __init__(self, parcel: WireParcel) -> None:
        """Let Ray place the silo, away from the others where it can."""
        kind = ray.remote(num_cpus=_CORES_A_SILO, scheduling_strategy="SPREAD", max_restarts=0)
        self._silo = parcel.silo
        self._actor: Any = kind(_Kept).remote(parcel)

    def node(self) -> str:
        """Return which machine the silo is on, once it is there."""
        return str(self._got(self._actor.node.remote()))

    def begin(self, parcel: RunParcel, *, begun: float) -> None:
        """Begin a run at the silo."""
        self._got(self._actor.begin.remote(parcel, begun=begun))

    def end(self) -> SiloNotes | None:
        """End the run, and return what is known of the silo; None where it did not begin."""
        notes: SiloNotes | None = self._got(self._actor.end.remote())
        return notes

    def close(self) -> None:
        """End the silo's processes."""
        try:
            ray.get(self._actor.close.remote(), timeout=_END_SECONDS)
        except ray.exceptions.RayError:
            pass
        finally:
            ray.kill(self._actor)

    def _got(self, reference: Any) -> Any:
        """Wait for an answer; raise RunFailed with a silo's words, or where its machine is gone."""
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as err:
            raise RunFailed(f"silo {self._silo}: {err.cause}") from err
        except ray.exceptions.RayError as err:
            raise RunFailed(
                f"the machine of silo {self._silo} left the Ray cluster",
                hint="nothing of this run counts; run the same command again",
            ) from err


class _Kept(SiloHost):
    """A host in its actor."""

    def node(self) -> str:
        """Return the address of this machine, and which of the cluster's nodes it is."""
        return (
            f"{ray.util.get_node_ip_address()}, node {ray.get_runtime_context().get_node_id()[:8]}"
        )


@contextmanager
def _placed(
    parcels: Sequence[WireParcel], *, tell: Callable[[str], None]
) -> Iterator[Mapping[str, Host]]:
    """Place silos on the cluster that is joined, and end them afterwards."""
    hosts = {parcel.silo: HostOnRay(parcel) for parcel in parcels}
    try:
        for silo, host in hosts.items():
            tell(f"silo {silo} is on {host.node()}")
        yield hosts
    finally:
        for host in hosts.values():
            host.close()


@contextmanager
def wired_on_ray(
    plan: Plan, *, cluster: str, tell: Callable[[str], None] = lambda _: None
) -> Iterator[Wire]:
    """Start a SuperLink here, and each silo on whatever machine of a Ray cluster has room.

    Args: cluster: ``HOST:PORT``, or ``local``. tell: is told which silo is where.
    Raises InvalidArgument for an address where no cluster is, RunFailed where a silo does not
    start.
    """
    with joined(cluster):
        here = str(ray.util.get_node_ip_address())
        with wired(plan, placing=partial(_placed, tell=tell), host=here) as wire:
            yield wire
