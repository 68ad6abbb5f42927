"""What goes to a silo's machine, and what comes back: bytes, so that any machine will do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PLAN, SCHEMA, SCENARIO, TABLE = "plan.yaml", "schema.yaml", "scenario.json", "table.arrow"
KEY, SETTINGS, SECRET = "identity.pem", "silo.json", "persons.secret"
NOTES, LEFT, STATE, LEDGER = "notes.jsonl", "left.jsonl", "state.json", "ledger.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class WireParcel:
    """What a silo's relay and line need, whatever is run over them.

    Args:
        superlink: its address, as HOST:PORT.
        files: certificates and the SuperNode's key, by name.
        launcher: the module that forks a silo's processes.
        plan: one of the kind that is to come.
    """

    silo: str
    superlink: str
    files: Mapping[str, bytes] = field(repr=False)
    launcher: str
    plan: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParcel:
    """What one run needs at a silo: plan, schema, scenario, table, key and settings, by name.

    ``back`` is where its line leads: to the SuperLink, or over a line of its region.
    """

    files: Mapping[str, bytes] = field(repr=False)
    back: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiloNotes:
    """What is known of a silo after a run.

    ``notes`` are what happened, as the silo's own processes wrote it down; ``left`` what left it
    by request id; ``conflicts`` how often one request had two answers; ``link`` what its line saw.
    """

    silo: str
    notes: tuple[Mapping[str, Any], ...]
    left: Mapping[str, bytes] = field(repr=False)
    conflicts: int
    ledger: bytes = field(repr=False)
    told: tuple[str, ...]
    link: Mapping[str, Any]
    faults: tuple[str, ...] = ()


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files for this user alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(data)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of JSON lines; a last one that a kill cut off is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1] if line]
