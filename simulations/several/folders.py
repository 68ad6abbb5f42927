"""Where the tables of simulated silos lie: a folder a silo, with a file a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.names import machine_key
from silosynth.simulations.one_process import write_private

VERSION = 1


def silo_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each silo: one named after it.

    Raises InvalidArgument where there is none, InvalidTable for two of one silo.
    """
    if not folder.is_dir():
        raise InvalidArgument(
            f"{folder} is no folder", hint="put a folder a silo there, with a file a table"
        )
    found: dict[str, Path] = {}
    for place in sorted(f for f in folder.iterdir() if f.is_dir() and f.name[0] != "."):
        silo = machine_key(place.name)
        if silo in found:
            raise InvalidTable(
                f"{folder} holds two folders of silo {silo!r}", hint="keep one for each silo"
            )
        found[silo] = place
    if not found:
        raise InvalidArgument(
            f"{folder} holds no folder of a silo",
            hint="put a folder a silo there, or say with --by how one folder of tables is split",
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SiloTables:
    """Remembers in a run's directory where each silo's tables lie, for its report."""

    path: Path

    def write(self, folders: Mapping[str, Path]) -> None:
        """Write where they lie, for the owner of the run alone."""
        where = {silo: str(folder.resolve()) for silo, folder in folders.items()}
        text = json.dumps({"version": VERSION, "silos": where}, indent=1)
        self.path.unlink(missing_ok=True)
        write_private(self.path, text.encode())

    def read(self) -> dict[str, Path]:
        """Return where they lie; raise InvalidArgument for a file of another version, or none."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict) or found.get("version") != VERSION:
            raise InvalidArgument(
                f"{self.path}: does not say where the silos' tables lie",
                hint="run the same 'simulate' again: nothing is charged twice",
            )
        return {silo: Path(folder) for silo, folder in found["silos"].items()}
