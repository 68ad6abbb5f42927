"""Read the commands that the files in deploy/ hold, and put a test's paths in place of theirs."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = str(Path(sys.executable).parent)


def unit_command(name: str, values: Mapping[str, str]) -> list[str]:
    """Return the ExecStart of a systemd unit with every key of ``values`` replaced."""
    lines = (DEPLOY / "systemd" / name).read_text().splitlines()
    line = next(line for line in lines if line.startswith("ExecStart="))
    return _replace(shlex.split(line.removeprefix("ExecStart=")), values)


def container_command(service: str, values: Mapping[str, str]) -> list[str]:
    """Return what a service of the compose file runs with every key of ``values`` replaced."""
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][service]
    lines = (DEPLOY / "docker" / "Dockerfile").read_text().splitlines()
    entry = next(line for line in lines if line.startswith("ENTRYPOINT "))
    words = found.get("entrypoint") or json.loads(entry.removeprefix("ENTRYPOINT "))
    return _replace([*words, *found["command"]], values)


def _replace(words: list[str], values: Mapping[str, str]) -> list[str]:
    """Put values in place; longer keys first, so that a path is not cut by its parent."""
    pairs = sorted({"/opt/silosynth/bin": BIN, **values}.items(), key=lambda p: -len(p[0]))
    replaced = []
    for word in words:
        for key, value in pairs:
            word = word.replace(key, value)
        replaced.append(word)
    return replaced
