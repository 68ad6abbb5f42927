"""The relay's command."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Annotated

import typer

from silosynth.common.expiry import Expiry
from silosynth.common.pages import TelemetryServer
from silosynth.common.telemetry import (
    Role,
    Telemetry,
    start_logging,
    take_in_others,
)


def relay(
    superlink: Annotated[str, typer.Option(help="The SuperLink: HOST:PORT.")],
    silo: Annotated[str, typer.Option(help="The silo's name, as in plans.")],
    gateway: Annotated[
        Path, typer.Option(help="The gateway's socket, such as state/gateway.sock.")
    ],
    key: Annotated[
        Path,
        typer.Option(help="The SuperNode's private key (EC, PEM); its public one is admitted."),
    ],
    ca: Annotated[
        Path | None, typer.Option(help="The CA of the SuperLink; the system's CAs by default.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve /metrics and /health on loopback.")
    ] = None,
    gateway_metrics: Annotated[
        Path | None,
        typer.Option(help="The gateway's metrics socket, shown at /gateway/metrics and /health."),
    ] = None,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Log lines as JSON.")] = False,
) -> None:
    """Run a silo's relay: a Flower SuperNode, and what answers its messages from the gateway.

    It holds no data and runs no code from the coordinator. Run it as a user of its own.

    [dim]silosynth relay --superlink host:9092 --ca ca.pem --key supernode.pem --silo north \\
    --gateway /run/silosynth/gateway.sock[/dim]
    """
    from silosynth.client.relay import RelaySettings, gateway_pages, is_healthy, serve_relay

    start_logging(as_json=json_logs)
    if json_logs:
        take_in_others(text=True)
    telemetry = Telemetry(role=Role.RELAY)
    stopping = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    with ExitStack() as stack:
        directory = stack.enter_context(TemporaryDirectory(prefix="silosynth-heard-"))
        heard = Path(directory) / "heard"
        settings = RelaySettings(
            superlink=superlink,
            silo=silo,
            gateway=gateway,
            key=key,
            heard=heard,
            ca=ca,
            json_logs=json_logs,
        )
        if metrics_port is not None:
            healthy = partial(is_healthy, gateway=gateway, heard=heard)
            expiry = Expiry(telemetry, superlink=superlink, ca=ca)

            def show() -> None:
                telemetry.connected(silo, is_connected=healthy())
                expiry.show()

            pages = gateway_pages(gateway_metrics) if gateway_metrics else {}
            stack.enter_context(
                TelemetryServer(
                    telemetry,
                    port=metrics_port,
                    healthy=healthy,
                    before_metrics=show,
                    pages=pages,
                )
            )
        serve_relay(settings, telemetry=telemetry, stopping=stopping.is_set)
