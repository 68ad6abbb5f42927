"""Read the commands that the files in deploy/ hold, and put a test's paths in place of theirs."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

DEPLOY = Path(__file__).parent.parent / "deploy"
BIN = str(Path(sys.executable).parent)


def unit_command(name: str, values: Mapping[str, str]) -> list[str]:
    """Return the ExecStart of a systemd unit with every key of ``values`` replaced."""
    lines = (DEPLOY / "systemd" / name).read_text().splitlines()
    line = next(line for line in lines if line.startswith("ExecStart="))
    return _replace(shlex.split(line.removeprefix("ExecStart=")), values)


def container_command(name: str, values: Mapping[str, str]) -> list[str]:
    """Return ENTRYPOINT and CMD of a container file with every key of ``values`` replaced."""
    words: list[str] = []
    for line in (DEPLOY / "docker" / name).read_text().splitlines():
        head, _, rest = line.partition(" ")
        if head in ("ENTRYPOINT", "CMD"):
            words += json.loads(rest)
    return _replace(words, values)


def _replace(words: list[str], values: Mapping[str, str]) -> list[str]:
    """Put values in place; longer keys first, so that a path is not cut by its parent."""
    pairs = sorted({"/opt/silosynth/bin": BIN, **values}.items(), key=lambda p: -len(p[0]))
    replaced = []
    for word in words:
        for key, value in pairs:
            word = word.replace(key, value)
        replaced.append(word)
    return replaced
