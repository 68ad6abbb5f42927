"""A gateway with a fault that the leak canary must find: its refusal quotes the table."""

from __future__ import annotations

import sys
from pathlib import Path

import gateway_main

from silosynth.client import gateway
from silosynth.client.policy_file import load_policy
from silosynth.common.errors import Refused, SilosynthError


def _quote(_: Exception) -> SilosynthError:
    """Return an error that holds what could not be read, as somebody who wants to help would."""
    table = Path(str(load_policy(Path(sys.argv[1])).datasets[0].path))
    return Refused(f"the table could not be read: {table.read_bytes()[:40]!r}")


if __name__ == "__main__":
    gateway.public_error = _quote
    gateway_main.main()
