"""A coordinator for tests: 'silosynth run' with a checkpoint that can kill it at a named point."""

from __future__ import annotations

import argparse
from dataclasses import replace

import gateway_main

from silosynth.common.cli import main as command
from silosynth.server import run as server_run


def main() -> None:
    """Run the command line with every run's checkpoint set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kill-at", required=True)
    arguments, words = parser.parse_known_args()
    checkpoint = gateway_main.kill_at(arguments.kill_at)
    real = server_run.run_federation

    def run_federation(*positional: object, watchers: server_run.Watchers, **named: object):  # type: ignore[no-untyped-def]  # passes on what it gets
        return real(*positional, watchers=replace(watchers, checkpoint=checkpoint), **named)  # type: ignore[arg-type]  # as above

    server_run.run_federation = run_federation
    command(words)


if __name__ == "__main__":
    main()
