"""How rows fit is read in a process of its own, however long that takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from silosynth.client.serving import fit_aside as module
from silosynth.client.serving.fit_aside import fit_aside
from tests.support.gateways.signed import Federation


@pytest.mark.parametrize("seconds", [0.01, 60.0], ids=["looked at often", "looked at once"])
def test_a_reading_that_takes_longer_than_a_look_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Asking twice what was asked once raises, and no plan could be approved then."""
    monkeypatch.setattr(module, "_LOOK_SECONDS", seconds)
    policy = Federation(directory=tmp_path).policy
    (section,) = policy.datasets
    fit = fit_aside(policy, section.name, None, going=lambda: True)
    assert fit.known, fit.lines
    assert fit.dataset == section.name
    assert fit.shares


def test_a_reading_ends_when_its_gateway_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    policy = Federation(directory=tmp_path).policy
    fit = fit_aside(policy, policy.datasets[0].name, None, going=lambda: False)
    assert not fit.known
