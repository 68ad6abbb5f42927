"""What all silos are sent alike is worked through once for all of them, not once for each.

Ten thousand silos that each hash what grows with the silos were most of a virtual week.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.gateway import gateway, verify
from silosynth.client.ledger import Ledger
from silosynth.client.policy import check_roster
from silosynth.common import messages
from silosynth.common.errors import PlanRefused
from silosynth.common.plan import decode_plan
from silosynth.common.trust import Purpose, body_of, seal
from silosynth.simulations.one_process import PlanShelf
from silosynth.simulations.scenario import Member, federation
from silosynth.simulations.scenario.federation import LEDGER, Federation
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


def _deciding(takes: str) -> dict[str, Any]:
    """Return the calm scenario's regions, with persons who decide."""
    person = {"approval": {"by": "person", "takes": takes}}
    return {
        "eu": {"silos": ["north", "south"], **person},
        "us": {"silos": ["west", "east"], **person},
    }


def test_a_plan_that_waits_for_persons_is_kept_once_and_few_ledgers_are_awake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand ledgers, each with a plan of ten thousand keys, would be thirty gigabytes."""
    awake, largest, shelves = set[str](), 0, set[int]()
    rest, opened, put = Member.rest, Federation._open, PlanShelf.put

    def rests(member: Member) -> None:
        awake.discard(member.name)
        rest(member)

    def opens(federation: Federation, member: Member) -> Any:
        nonlocal largest
        awake.add(member.name)
        found = opened(federation, member)
        largest = max(largest, len(awake))
        return found

    def puts(shelf: PlanShelf, sealed: bytes) -> bytes:
        shelves.add(id(shelf))
        return put(shelf, sealed)

    monkeypatch.setattr(federation, "_MOST_AWAKE", 2)
    monkeypatch.setattr(Member, "rest", rests)
    monkeypatch.setattr(Federation, "_open", opens)
    monkeypatch.setattr(PlanShelf, "put", puts)
    regions = _deciding("1h")
    impatient = plan(approval_seconds=7200)
    few = live(impatient, scenario(regions=regions), tmp_path / "few")
    assert (few.error, few.broken) == (None, ())
    assert (largest, len(shelves)) == (2, 1)
    monkeypatch.setattr(federation, "_MOST_AWAKE", 1000)
    many = live(impatient, scenario(regions=regions), tmp_path / "many")
    assert few.facts() == many.facts()
    for silo in impatient.silos:
        texts = []
        for run in ("few", "many"):
            path = tmp_path / run / "silos" / silo / LEDGER
            with Ledger.open(path, caps={}) as ledger:
                texts.append([c.request_id for c in ledger.charges()])
        assert texts[0] == texts[1]


def test_a_plan_that_nobody_decided_about_stands_whole_in_the_silos_file(tmp_path: Path) -> None:
    came = live(plan(approval_seconds=60), scenario(regions=_deciding("3h")), tmp_path / "run")
    assert came.error is not None
    with Ledger.open(tmp_path / "run" / "silos" / "north" / LEDGER, caps={}) as ledger:
        (waits,) = ledger.pending()
    assert decode_plan(body_of(waits.plan)).id == "p"


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
