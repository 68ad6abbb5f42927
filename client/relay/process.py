"""The relay's process, as ``silosynth relay`` turns into it.

    python -m silosynth.client.relay.process --superlink host:9092 --silo north ...

A fresh interpreter: the command line has loaded the commands of every installed part by then.
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from silosynth.client.relay.first import FirstNode, fork_first_node
from silosynth.client.relay.health import gateway_pages, is_healthy
from silosynth.client.relay.relay import RelaySettings, serve_relay
from silosynth.common.errors import EXIT_BUG, SilosynthError
from silosynth.common.reach import Expiry
from silosynth.common.telemetry import (
    Role,
    Telemetry,
    TelemetryServer,
    log,
    start_logging,
    take_in_others,
)


def main(arguments: list[str] | None = None) -> int:
    """Run a relay as the command line says; return the exit code."""
    options = _parser().parse_args(arguments)
    first = fork_first_node()
    start_logging(as_json=options.json_logs)
    if options.json_logs:
        take_in_others(text=True)
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        _serve(options, first=first, stopping=stopping)
    except SilosynthError as err:
        sys.stderr.write(f"error: {err}\n")
        return err.exit_code
    except Exception as err:
        log("not-serving", code="bug", exception=type(err).__name__)
        return EXIT_BUG
    return 0


def _serve(options: argparse.Namespace, *, first: FirstNode, stopping: Event) -> None:
    """Serve a relay and its pages."""
    telemetry = Telemetry(role=Role.RELAY)
    with ExitStack() as stack:
        directory = stack.enter_context(TemporaryDirectory(prefix="silosynth-heard-"))
        heard = Path(directory) / "heard"
        settings = RelaySettings(
            superlink=options.superlink,
            silo=options.silo,
            gateway=options.gateway,
            key=options.key,
            heard=heard,
            ca=options.ca,
            json_logs=options.json_logs,
        )
        if options.metrics_port is not None:
            stack.enter_context(_pages(options, heard=heard, telemetry=telemetry))
        serve_relay(settings, telemetry=telemetry, first=first, stopping=stopping.is_set)


def _pages(options: argparse.Namespace, *, heard: Path, telemetry: Telemetry) -> TelemetryServer:
    """Return the server of metrics and health."""
    healthy = partial(is_healthy, gateway=options.gateway, heard=heard)
    expiry = Expiry(telemetry, superlink=options.superlink, ca=options.ca)

    def show() -> None:
        telemetry.connected(options.silo, is_connected=healthy())
        expiry.show()

    return TelemetryServer(
        telemetry,
        port=options.metrics_port,
        healthy=healthy,
        before_metrics=show,
        pages=gateway_pages(options.gateway_metrics) if options.gateway_metrics else {},
    )


def _parser() -> argparse.ArgumentParser:
    """Return the options, which ``silosynth relay`` has checked and explains."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--superlink", required=True)
    parser.add_argument("--silo", required=True)
    parser.add_argument("--gateway", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--ca", type=Path)
    parser.add_argument("--metrics-port", type=int)
    parser.add_argument("--gateway-metrics", type=Path)
    parser.add_argument("--json-logs", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
