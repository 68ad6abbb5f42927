"""The gateway's page of metrics and health, and what it states of budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import socket

from silosynth.client.desk import budget
from silosynth.client.ledger import Ledger
from silosynth.client.rpc import (
    bind_socket,
    remove_socket,
)
from silosynth.client.serving.run_as import group_id
from silosynth.client.silo import Silo
from silosynth.common.audit import Scope
from silosynth.common.errors import SilosynthError
from silosynth.common.telemetry import (
    Role,
    Telemetry,
    TelemetryServer,
    log,
)


@contextmanager
def open_metrics(silo: Silo) -> Iterator[Telemetry]:
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


def _show_budgets(ledger: Ledger, scopes: Sequence[Scope], telemetry: Telemetry) -> None:
    """State each scope's budget; nothing when the ledger cannot be read."""
    with suppress(SilosynthError):
        for scope in scopes:
            figures = budget(ledger, scope)
            telemetry.budget(scope=scope.kind.value, name=scope.name, **figures)
