"""The relay's command."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.errors import InvalidArgument

_PROCESS = "silosynth.client.relay.process"


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
    for name in ("flwr", "grpc"):
        if find_spec(name) is None:
            raise InvalidArgument(
                f"a relay needs {name}, which is not installed", hint="install silosynth[silo]"
            )
    given: dict[str, object] = {
        "--superlink": superlink,
        "--silo": silo,
        "--gateway": gateway,
        "--key": key,
        "--ca": ca,
        "--metrics-port": metrics_port,
        "--gateway-metrics": gateway_metrics,
    }
    words = [f"{name}={value}" for name, value in given.items() if value is not None]
    # A fresh interpreter: this one has loaded the commands of every installed part.
    more = ["--json-logs"] if json_logs else []
    os.execv(sys.executable, [sys.executable, "-m", _PROCESS, *words, *more])
