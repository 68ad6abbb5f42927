"""A gateway for tests that looks for waiting plans every moment."""

from __future__ import annotations

import email.generator
import email.policy
import encodings.idna
import http.client
import smtplib
import ssl
import sys
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

if __name__ == "__main__":
    assert LATE
    serve(Path(sys.argv[sys.argv.index("--policy") + 1]), seams=Seams(look_seconds=0.05))
