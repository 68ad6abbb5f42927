"""What is said to hold in every scenario is looked for: each way of breaking it is found."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from silosynth.client.ledger import Ledger
from silosynth.common.plan import Plan
from silosynth.simulations.scenario import Rehearsal
from silosynth.simulations.scenario.engine import VirtualTime
from silosynth.simulations.scenario.federation import Federation
from tests.support.tables.worlds import live, plan, scenario

SUMS = {"regions": {"eu": {"silos": ["north", "south"], "rules": {"only_sums": True}}}}


class _Otherwise:
    """A ledger that says something else than what it holds."""

    def __init__(self, ledger: Ledger, *, charges: Callable[[Any], Any], units: int) -> None:
        self._ledger, self._charges, self._units = ledger, charges, units

    def charges(self) -> Any:
        return self._charges(self._ledger.charges())

    def spent(self, scope: Any) -> int:
        return self._ledger.spent(scope) + self._units


def _with_ledgers(
    monkeypatch: pytest.MonkeyPatch,
    *,
    charges: Callable[[Any], Any] = tuple,
    units: int = 0,
) -> None:
    whole = Federation.ledger
    monkeypatch.setattr(
        Federation,
        "ledger",
        lambda self, silo: _Otherwise(whole(self, silo), charges=charges, units=units),
    )


LEDGERS = [
    (lambda charges: (), 0, "without a charge"),
    (lambda charges: (*charges, charges[0]), 0, "was charged 2 times"),
    (tuple, 1, "its charges are others"),
    (tuple, 2**40, "and the plan says"),
]


@pytest.mark.parametrize(("charges", "units", "words"), LEDGERS)
def test_a_ledger_that_does_not_agree_with_what_left_is_found(
    charges: Callable[[Any], Any],
    units: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _with_ledgers(monkeypatch, charges=charges, units=units)
    came = live(plan(), scenario(), tmp_path / "run")
    assert any(words in fault for fault in came.broken)


def test_two_answers_to_one_request_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = VirtualTime._watch

    def twice(self: VirtualTime, silo: str, data: bytes) -> None:
        watch(self, silo, data)
        self.left[silo] = {request: kept + b"x" for request, kept in self.left[silo].items()}

    monkeypatch.setattr(VirtualTime, "_watch", twice)
    stall = {"kind": "stall", "at": "send", "lasts": "1m", "silos": ["north"]}
    came = live(plan(), scenario(faults=[stall]), tmp_path / "run")
    assert any("two releases" in fault for fault in came.broken)


def test_a_release_that_stands_alone_where_sums_alone_may_leave_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: nobody holds the plan against the region's rule, and the run must show it."""
    monkeypatch.setattr("silosynth.simulations.scenario.rehearse.check_rules", lambda *_: None)
    regions = SUMS["regions"] | {"us": {"silos": ["west", "east"]}}
    came = live(plan(), scenario(regions=regions), tmp_path / "run")
    assert {fault for fault in came.broken if "stands alone" in fault} == {
        f"region eu: a release of silo {silo} stands alone" for silo in ("north", "south")
    }


@cache
def _summed() -> tuple[Rehearsal, Plan]:
    asked = plan(trust="shared", absent=1, attempts=2, on_absent="continue")
    regions = SUMS["regions"] | {"us": {"silos": ["west", "east"]}}
    return live(asked, scenario(regions=regions), Path(mkdtemp()) / "run"), asked


def test_parts_of_sums_leave_a_region_that_asks_for_them() -> None:
    came, _ = _summed()
    assert (came.error, came.broken) == (None, ())
