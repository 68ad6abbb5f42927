"""Budgets that are held at a Rényi order: a filter over vectors, in the chain and after a crash."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from silosynth.client.ledger import Ledger
from silosynth.common.accounting import ORDER_UNIT, ORDERS
from silosynth.common.audit import (
    GENESIS,
    BrokenChain,
    Cap,
    Scope,
    ScopeKind,
    cap_body,
    charge_body,
    genesis_body,
    next_head,
    replay,
    verify_audit,
)
from silosynth.common.errors import BudgetExceeded, InvalidArgument, LedgerUnavailable

ZCDP = Scope(kind=ScopeKind.DATASET, name="plain")
RDP = Scope(kind=ScopeKind.PROJECT, name="held")
ORDER = 8 * ORDER_UNIT
CAPS: dict[Scope, int | Cap] = {ZCDP: 1000, RDP: Cap(units=100, order=ORDER)}
VECTOR = tuple(80 if order == 8 else 3 * order for order in ORDERS)
"""Costs 80 / 8 = 10 units at the order 8, and 3 at all others that the test looks at."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path)
    return path


def test_a_vector_is_charged_at_the_order_and_zcdp_elsewhere(path: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        assert ledger.charge("r", "h", cost_units=50, rdp=VECTOR) is None
        assert (ledger.spent(ZCDP), ledger.spent(RDP)) == (50, 10)
        ledger.charge("s", "h", cost_units=7)
        assert (ledger.spent(ZCDP), ledger.spent(RDP)) == (57, 17)
        assert (ledger.order(ZCDP), ledger.order(RDP)) == (None, ORDER)
        assert ledger.charges()[0].rdp == VECTOR
    with Ledger.open(path, caps=CAPS) as ledger:
        assert (ledger.spent(ZCDP), ledger.spent(RDP)) == (57, 17)


def test_the_filter_admits_up_to_its_cap_and_no_unit_more(path: Path) -> None:
    caps = {RDP: Cap(units=100, order=ORDER)}
    with Ledger.open(path, caps=caps) as ledger:
        for number in range(10):
            ledger.charge(f"r{number}", "h", cost_units=50, rdp=VECTOR)
        with pytest.raises(BudgetExceeded, match="has 0 left"):
            ledger.charge("more", "h", cost_units=50, rdp=VECTOR)
        assert ledger.remaining(RDP) == 0


def test_another_order_adds_up_what_was_spent_anew(path: Path) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        ledger.charge("r", "h", cost_units=50, rdp=VECTOR)
        ledger.charge("s", "h", cost_units=7)
        ledger.grant({RDP: Cap(units=100, order=16 * ORDER_UNIT)})
        assert ledger.spent(RDP) == 3 + 7
        ledger.grant({RDP: 20})
        assert (ledger.spent(RDP), ledger.remaining(RDP)) == (57, 0), "kept at what was spent"
        ledger.grant({RDP: Cap(units=1, order=ORDER)})
        assert (ledger.spent(RDP), ledger.remaining(RDP)) == (17, 0)
        account = verify_audit(ledger.audit()).account
    assert account.spent[RDP] == 17
    assert account.orders == {RDP: ORDER}


def test_an_order_that_was_edited_is_noticed(path: Path) -> None:
    with Ledger.open(path, caps=CAPS):
        pass
    connection = sqlite3.connect(path)
    connection.execute("UPDATE orders SET rdp_order = rdp_order * 2")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerUnavailable, match="orders"):
        Ledger.open(path, caps=CAPS)


@pytest.mark.parametrize("vector", [VECTOR[1:], (*VECTOR[1:], -1), (*VECTOR[1:], 1.5)])
def test_what_is_no_vector_is_refused_and_not_charged(path: Path, vector: object) -> None:
    with Ledger.open(path, caps=CAPS) as ledger:
        with pytest.raises(InvalidArgument, match="vector"):
            ledger.charge("r", "h", cost_units=50, rdp=vector)  # type: ignore[arg-type]
        assert ledger.spent(ZCDP) == 0


def _chain(*bodies: str) -> list[tuple[int, str, str]]:
    rows, head = [], GENESIS
    for number, body in enumerate((genesis_body(ledger_id="i", at="t"), *bodies), start=1):
        head = next_head(head, sequence=number, body=body)
        rows.append((number, body, head))
    return rows


def _charge(rdp: tuple[int, ...]) -> str:
    return charge_body(
        request_id="r",
        request_hash="h",
        cost_units=50,
        scopes=(RDP,),
        facts={},
        at="t",
        rdp=rdp,
    )


@pytest.mark.parametrize(
    "charge",
    [
        _charge(VECTOR).replace('"orders":1', '"orders":2'),
        _charge(VECTOR[1:]),
        _charge(tuple(-v for v in VECTOR)),
        _charge(tuple(11 * v for v in VECTOR)).replace('"cost":50', '"cost":200'),
    ],
)
def test_a_chain_with_a_charge_that_could_not_have_been_made_is_broken(charge: str) -> None:
    cap = cap_body(RDP, cap=100, at="t", order=ORDER)
    assert replay(_chain(cap, _charge(VECTOR))).spent[RDP] == 10
    with pytest.raises(BrokenChain):
        replay(_chain(cap, charge))
