"""A gateway for tests that looks for waiting plans every moment."""

from __future__ import annotations

import email.generator
import email.policy
import encodings.idna
import http.client
import smtplib
import ssl
from collections.abc import Sequence
from pathlib import Path

from silosynth.client.serving.serve import Seams, serve
from tests.support.gateways import serve_main

LATE = (
    *serve_main.LATE,
    email.message,
    email.generator,
    email.policy,
    encodings.idna,
    http.client,
    smtplib,
    ssl,
)


def main(arguments: Sequence[str]) -> None:
    """Serve, and look every moment."""
    serve(Path(arguments[arguments.index("--policy") + 1]), seams=Seams(look_seconds=0.05))
