"""What all silos are sent alike is worked through once for all of them, not once for each.

Ten thousand silos that each hash what grows with the silos were most of a virtual week.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.gateway import gateway, verify
from silosynth.client.policy import check_roster
from silosynth.common import messages
from silosynth.common.errors import PlanRefused
from silosynth.common.trust import Purpose, seal
from tests.support.tables.worlds import live, plan, scenario


def test_the_plan_and_the_result_are_opened_and_hashed_once_for_all_silos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[str] = Counter()
    opened, hashed = seal.unseal, messages.digest_sampler

    def unseal(data: bytes, *, purpose: Purpose, trusted: Any) -> Any:
        seen[purpose.value] += 1
        return opened(data, purpose=purpose, trusted=trusted)

    def digest_sampler(bundle: bytes) -> str:
        seen["bundle"] += 1
        return str(hashed(bundle))

    monkeypatch.setattr(verify, "unseal", unseal)
    monkeypatch.setattr(gateway, "digest_sampler", digest_sampler)
    result = live(plan(), scenario(), tmp_path / "run")
    assert result.error is None
    silos = len(plan().silos)
    assert silos > 1
    assert seen["bundle"] == seen[Purpose.PLAN.value] == 1
    assert seen[Purpose.REQUEST.value] >= silos  # each of its own


def test_a_roster_that_is_the_plans_is_not_gone_through_by_names() -> None:
    class Names(dict[str, str]):
        def get(self, *_: Any) -> Any:
            raise AssertionError("looked for one name after the other")

    known = {name: f"ed25519:{name}" for name in plan().silos}
    signed = plan().model_copy(update={"roster": known})
    check_roster(Names(known), signed, silo="s")
    for other in ({**known, plan().silos[0]: "ed25519:other"}, dict(list(known.items())[1:])):
        with pytest.raises(PlanRefused, match="has not pinned"):
            check_roster(other, signed, silo="s")
    check_roster({**known, "more": "ed25519:more"}, signed, silo="s")
