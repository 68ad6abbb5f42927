"""What the kill matrix's modules share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.processes.cells import NoteKills, Survived


@pytest.fixture
def note_kills(record_property: Callable[[str, object], None]) -> NoteKills:
    """Note what survived for the table at the end."""

    def note(survived: Sequence[Survived]) -> None:
        for row in survived:
            record_property("kill", [row.seconds, str(row)])

    return note
