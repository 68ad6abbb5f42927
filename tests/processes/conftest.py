"""What the kill matrix's modules share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cells import Survived


@pytest.fixture(scope="module")
def kills(pytestconfig: pytest.Config) -> Iterator[list[Survived]]:
    """Collect what survived, and print how long each took."""
    rows: list[Survived] = []
    yield rows
    worst = max((s.seconds for s in rows), default=0.0)
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        print("", *rows, sep="\n")
        print(f"{len(rows)} cells; from kill to the run's end at most {worst:.1f} s")
