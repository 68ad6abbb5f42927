"""Two sums of a budget: nobody is in both parts of a split, so one person pays the larger."""

from __future__ import annotations

import itertools
import sqlite3
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from silosynth.client.ledger import Ledger, lengthened, read_ledger
from silosynth.client.ledger.rebuild import rebuild
from silosynth.common.accounting import ORDER_UNIT, ORDERS
from silosynth.common.audit import (
    Cap,
    Parted,
    Scope,
    ScopeKind,
    Side,
    audit_rows,
    recovered_body,
    replay,
    room,
    verify_audit,
)
from silosynth.common.errors import (
    BudgetExceeded,
    InvalidArgument,
    LedgerUnavailable,
    RequestConflict,
)

SCOPE = Scope(kind=ScopeKind.DATASET, name="d")
TRAINING = Parted(split="s", side=Side.TRAINING)
EVALUATION = Parted(split="s", side=Side.EVALUATION)
OTHER = Parted(split="other", side=Side.EVALUATION)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path)
    return path


def dearest(charges: list[tuple[Parted | None, int]]) -> int:
    """Return what the person pays who is, in each split, where it is dearest: by trying all."""
    splits = sorted({part.split for part, _ in charges if part is not None})
    costs = []
    for sides in itertools.product(Side, repeat=len(splits)):
        mine = dict(zip(splits, sides, strict=True))
        costs.append(sum(n for part, n in charges if part is None or mine[part.split] is part.side))
    return max(costs)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_spent_is_what_the_dearest_person_pays(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    parts = [None, TRAINING, EVALUATION, OTHER]
    charges = [(parts[draw.integers(4)], int(draw.integers(1, 10))) for _ in range(12)]
    made: list[tuple[Parted | None, int]] = []
    with Ledger.hold(Ledger.blank(), path=tmp_path, caps={SCOPE: 40}) as ledger:
        for number, (part, units) in enumerate(charges):
            after = dearest([*made, (part, units)])
            assert ledger.spent(SCOPE) + ledger.growth(SCOPE, units, part=part) == after
            if after > 40:
                with pytest.raises(BudgetExceeded):
                    ledger.charge(str(number), "h", cost_units=units, part=part)
                continue
            ledger.charge(str(number), "h", cost_units=units, part=part)
            made.append((part, units))
            assert ledger.spent(SCOPE) == after
        account = ledger.verify()
    sums: dict[tuple[Scope, str], list[int]] = defaultdict(lambda: [0, 0])
    for part, units in made:
        if part is not None:
            sums[SCOPE, part.split][part.side is Side.EVALUATION] += units
    assert account.parts == {key: tuple(both) for key, both in sums.items()}


def test_both_sums_are_in_the_audit_and_after_a_start(path: Path) -> None:
    with Ledger.open(path, caps={SCOPE: 10}) as ledger:
        ledger.charge("t", "h", cost_units=7, part=TRAINING)
        ledger.charge("e", "h", cost_units=7, part=EVALUATION)
        assert (ledger.spent(SCOPE), ledger.remaining(SCOPE)) == (7, 3)
        told = verify_audit(ledger.audit()).account
        rows = audit_rows(ledger.audit())
    assert told.parts == {(SCOPE, "s"): (7, 7)}
    assert [c.part for c in told.charges.values()] == [TRAINING, EVALUATION]
    with Ledger.open(path, caps={SCOPE: 10}) as ledger, pytest.raises(BudgetExceeded):
        ledger.charge("more", "h", cost_units=4, part=EVALUATION)
    again = path.with_name("rebuilt.sqlite")
    rebuild(again, rows, releases={})
    assert read_ledger(again).account.parts == told.parts
    assert lengthened(rows, ()) == rows


def test_the_same_request_is_not_charged_to_the_other_part(path: Path) -> None:
    with Ledger.open(path, caps={SCOPE: 10}) as ledger:
        ledger.charge("t", "h", cost_units=7, part=TRAINING)
        assert ledger.charge("t", "h", cost_units=7, part=TRAINING) is None
        assert ledger.verify().parts == {(SCOPE, "s"): (7, 0)}


@pytest.mark.parametrize("other", [EVALUATION, OTHER, None], ids=str)
def test_a_request_is_not_answered_about_others_than_those_who_paid(
    path: Path, other: Parted | None
) -> None:
    with Ledger.open(path, caps={SCOPE: 10}) as ledger:
        ledger.charge("t", "h", cost_units=7, part=TRAINING)
        before = ledger.head
        with pytest.raises(RequestConflict, match="charged to other people"):
            ledger.charge("t", "h", cost_units=7, part=other)
        assert ledger.head == before
        ledger.store("t", b"released")
        assert ledger.charge("t", "h", cost_units=7, part=other) == b"released"


@pytest.mark.parametrize("part", [TRAINING, None], ids=str)
def test_a_payer_that_never_had_a_cap_stops_one_charge_and_no_other(
    path: Path, part: Parted | None
) -> None:
    ghost = Scope(kind=ScopeKind.CONSUMER, name="ghost")
    with Ledger.open(path, caps={SCOPE: 10}) as ledger:
        with pytest.raises(BudgetExceeded, match="ghost"):
            ledger.charge("t", "h", cost_units=7, scopes=(SCOPE, ghost), part=part)
        assert (ledger.spent(SCOPE), ledger.verify().parts) == (0, {})
        assert ledger.charge("u", "h", cost_units=7, part=part) is None


def test_a_split_takes_no_charge_for_nothing_after_a_recovery(path: Path) -> None:
    """What the lost ledger charged to its parts nobody knows, at whatever order."""
    vector = tuple(80 if order == 8 else 3 * order for order in ORDERS)
    with Ledger.open(path, caps={SCOPE: 200}) as ledger:
        ledger.charge("t", "h", cost_units=90, rdp=vector, part=TRAINING)
        ledger.charge("e", "h", cost_units=40, part=EVALUATION)
        rows = audit_rows(ledger.audit())
    known = replay(rows)
    assert (known.parts, room(known.parts, SCOPE)) == ({(SCOPE, "s"): (90, 40)}, 50)
    assert room(known.parts, Scope(kind=ScopeKind.PROJECT, name="d")) == 0
    body = recovered_body(heads=[], lost=[], by="b", at="2026-01-01T00:00:00+00:00")
    for bodies in ((body,), (body, body)):
        again = path.with_name(f"{len(bodies)}.sqlite")
        rebuild(again, lengthened(rows, bodies), releases={})
        with Ledger.open(again, caps={SCOPE: 200}) as ledger:
            assert ledger.spent(SCOPE) == 90
            assert room(ledger.verify().parts, SCOPE) == 0
            assert ledger.growth(SCOPE, 30, part=EVALUATION) == 30
            ledger.charge("more", "h", cost_units=30, part=EVALUATION)
            assert ledger.spent(SCOPE) == 120
            ledger.charge("other", "h", cost_units=30, part=TRAINING)
            assert ledger.spent(SCOPE) == 120, "what is charged since pays the larger again"
            ledger.grant({SCOPE: Cap(units=200, order=8 * ORDER_UNIT)})
            assert ledger.spent(SCOPE) == 40 + 30
        with Ledger.open(again, caps={SCOPE: Cap(units=200, order=8 * ORDER_UNIT)}) as ledger:
            assert ledger.spent(SCOPE) == 40 + 30


def test_at_another_order_both_sums_are_added_up_anew(path: Path) -> None:
    vector = tuple(80 if order == 8 else 3 * order for order in ORDERS)
    with Ledger.open(path, caps={SCOPE: 1000}) as ledger:
        ledger.charge("t", "h", cost_units=50, rdp=vector, part=TRAINING)
        ledger.charge("e", "h", cost_units=20, part=EVALUATION)
        assert ledger.spent(SCOPE) == 50
        ledger.grant({SCOPE: Cap(units=1000, order=8 * ORDER_UNIT)})
        assert ledger.spent(SCOPE) == 20
        assert ledger.verify().parts == {(SCOPE, "s"): (10, 20)}


def test_a_sum_that_was_edited_is_noticed(path: Path) -> None:
    with Ledger.open(path, caps={SCOPE: 10}) as ledger:
        ledger.charge("t", "h", cost_units=7, part=TRAINING)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE parts SET training = 1")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerUnavailable, match="sums of its splits"):
        Ledger.open(path, caps={SCOPE: 10})


def test_a_split_has_a_name() -> None:
    for name in ("", "x" * 65, "ü"):
        with pytest.raises(InvalidArgument):
            Parted(split=name, side=Side.TRAINING)


def test_a_ledger_of_version_5_is_taken_over_with_what_it_spent(path: Path) -> None:
    with Ledger.open(path, caps={SCOPE: 10}) as ledger:
        ledger.charge("r", "h", cost_units=5)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE parts")
    connection.execute("PRAGMA user_version = 5")
    connection.close()
    with Ledger.open(path, caps={SCOPE: 10}) as ledger:
        ledger.charge("t", "h", cost_units=3, part=TRAINING)
        ledger.charge("e", "h", cost_units=5, part=EVALUATION)
        assert ledger.spent(SCOPE) == 10
