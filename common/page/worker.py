"""Serve a page until nobody has looked at it for a while: the process that the keeper starts."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from typing import cast

import uvicorn

from silosynth.common.page.guard import Guard
from silosynth.common.page.settings import PageSettings
from silosynth.common.page.site import Site, build_app
from silosynth.common.telemetry import start_logging

_CHECK_SECONDS = 2.0
_GRACE_SECONDS = 2
_MOST_AT_ONCE = 128
_KEEP_ALIVE_SECONDS = 15


def serve(settings: PageSettings, listener: socket.socket) -> None:
    """Answer at ``listener`` until nobody has asked for the settings' time of rest."""
    build = cast("Callable[[PageSettings], Site]", import_module(settings.site).make_site)
    asyncio.run(_serve(build_app(build(settings), settings), settings, listener))


async def _serve(app: Guard, settings: PageSettings, listener: socket.socket) -> None:
    """Run the server and what watches it."""
    # What it logs may hold a request: the guard logs what fails, by its type.
    logging.getLogger("uvicorn").disabled = True
    logging.getLogger("uvicorn.error").disabled = True
    server = uvicorn.Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]  # written against ASGI, without its types
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_AT_ONCE,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    watching = asyncio.create_task(_rest(server, app, settings.rest_seconds))
    try:
        await server.serve(sockets=[listener])
    finally:
        watching.cancel()


async def _rest(server: uvicorn.Server, app: Guard, seconds: float) -> None:
    """End the server when nobody has asked for long, or when its keeper is gone."""
    keeper = os.getppid()
    while os.getppid() == keeper and app.rested_seconds() < seconds:
        await asyncio.sleep(min(_CHECK_SECONDS, seconds))
    server.should_exit = True


def main() -> None:
    """Serve at an inherited socket, with the settings that stand on stdin."""
    start_logging(as_json=False)
    settings = PageSettings.model_validate_json(sys.stdin.buffer.read())
    serve(settings, socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
