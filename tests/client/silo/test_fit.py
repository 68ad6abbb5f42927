"""How rows fit is told to the silo's operator alone, and a person's approval answers for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.client.desk import Command, Desk, Question
from silosynth.client.maps import NO_MAP
from silosynth.client.silo import Fits, Silo, fits_of, read_tables
from silosynth.client.source import take_survey
from silosynth.common.errors import InvalidArgument, LedgerUnavailable
from silosynth.common.messages import Answer, Release
from silosynth.common.schema import Schema, parse_schema
from tests.support.gateways.signed import Federation, people, people_table


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(directory=tmp_path)


def bend(federation: Federation) -> None:
    """Let the silo write its sexes as 1 and 2."""
    table = people_table()
    codes = pa.array(["1", "2"] * (table.num_rows // 2))
    bent = table.set_column(table.column_names.index("sex"), "sex", codes)
    pq.write_table(bent, federation.directory / "people.parquet")


def desk_of(federation: Federation, silo: Silo, fits: Fits) -> Desk:
    return Desk(policy=federation.policy, key=silo.key, ledger=silo.ledger, fits=fits)


def approve(federation: Federation, *, although: bool) -> str:
    """Propose a plan that waits, approve it, and return what the ledger says of why."""
    federation.approve_none()
    plan = federation.plan()
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        question = Question(command=Command.DECIDE, plan="p", approve=True, although_unfit=although)
        desk_of(federation, silo, fits_of(federation.policy)).ask(question, user=os.geteuid())
        decision = silo.ledger.decision(plan.digest, signer=federation.hub.public)
        assert decision is not None
        return decision.why


# What fits


def schema(**attribute: object) -> Schema:
    return parse_schema({"name": "t", "source": "public", "attributes": [attribute]})


SEX = {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "other": False}
AGE = {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99}


def test_a_share_is_that_of_the_values_and_not_of_what_is_missing() -> None:
    """Ninety rows of a hundred hold nothing, and of ten values none is listed."""
    described = schema(**SEX, missing=True, missing_tokens=["NA"])
    table = pa.table({"sex": [None] * 40 + ["NA"] * 50 + ["1"] * 10})
    found = take_survey([table, table], schema=described, silo_map=NO_MAP)
    assert found.fits == {"sex": 0.0}
    assert found.hardly == ("sex",)
    assert found.lines() == ("sex: 20 of 20 values not listed: 0.0% of it fits",)


@pytest.mark.parametrize("absent", [None, -9, float("nan")])
def test_missing_numbers_are_no_values_either(absent: float | None) -> None:
    described = schema(**AGE, missing=True, missing_tokens=["-9"])
    numbers = pa.array([absent] * 80 + [1000] * 19 + [5], pa.float64())
    found = take_survey([pa.table({"age": numbers})], schema=described, silo_map=NO_MAP)
    assert found.fits == {"age": 1 - 19 / 20}


def test_a_column_that_holds_nothing_fits() -> None:
    described = schema(**SEX, missing=True)
    table = pa.table({"sex": pa.array([None] * 5, pa.string())})
    found = take_survey([table], schema=described, silo_map=NO_MAP)
    assert (found.fits, found.lines()) == ({}, ())


def test_a_rule_that_hardly_a_row_keeps_hardly_fits() -> None:
    two = {"name": "t", "source": "public", "attributes": [AGE, {**AGE, "name": "since"}]}
    described = parse_schema(two | {"rules": ["since <= age"]})
    table = pa.table({"age": [3] * 20, "since": [9] * 19 + [1]})
    found = take_survey([table], schema=described, silo_map=NO_MAP)
    assert found.hardly == ("the rule 'since <= age'",)


# Who is told, and when


def test_what_does_not_fit_is_told_with_a_plan_that_waits(federation: Federation) -> None:
    bend(federation)
    federation.approve_none()
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(federation.plan()))
        fits = fits_of(federation.policy)
        desk = desk_of(federation, silo, fits)
        (before,) = desk.ask(Question(command=Command.PENDING), user=0)["plans"]
        assert before["fit"] == {
            "words": ["how its columns fit was not looked at yet"],
            "unfit": [],
        }
        fits.look()
        (shown,) = desk.ask(Question(command=Command.PENDING), user=0)["plans"]
        assert shown["fit"]["unfit"] == ["sex"]
        assert "sex: 150 of 150 values not listed: 0.0% of it fits" in shown["fit"]["words"]
        notes = desk.ask(Question(command=Command.NOTES), user=0)["notes"]
        assert any("hardly anything of sex fits" in note for note in notes)
        others = Desk(policy=federation.policy, key=silo.key, ledger=silo.ledger)
        assert "fit" not in others.pending()[0], "what rings and what is signed elsewhere is public"


def test_a_table_is_read_again_once_it_has_changed_and_not_before(federation: Federation) -> None:
    fits = fits_of(federation.policy)
    (first,) = fits.asked("default")
    assert first.known
    assert fits.asked(None)[0] is first, "nothing was written to it"
    bend(federation)
    assert fits.asked("default")[0].unfit == ("sex",)


def test_a_table_that_cannot_be_read_is_not_known_to_fit(federation: Federation) -> None:
    (federation.directory / "people.parquet").write_bytes(b"no table")
    (fit,) = fits_of(federation.policy).asked("default")
    assert not fit.known
    assert "is not known" in fit.words()[0]
    assert fit.unfit == ()


def test_a_reading_breaks_off_when_the_gateway_ends(federation: Federation) -> None:
    fits = fits_of(federation.policy)
    fits.close()
    assert not fits.asked("default")[0].known


# A word of consent


def test_a_person_does_not_approve_what_hardly_fits_without_a_word(federation: Federation) -> None:
    bend(federation)
    with pytest.raises(InvalidArgument, match="hardly anything of sex fits") as caught:
        approve(federation, although=False)
    assert "--although-unfit" in (caught.value.hint or "")
    assert "sex" not in approve(federation, although=True)


def test_refusing_needs_no_word(federation: Federation) -> None:
    bend(federation)
    federation.approve_none()
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(federation.plan()))
        question = Question(command=Command.DECIDE, plan="p", approve=False, why="no")
        answer = desk_of(federation, silo, fits_of(federation.policy)).ask(question, user=0)
    assert answer["verdict"] == "refused"


def no_change(_: Federation) -> None:
    """Leave the table as it is: it fits but for one word."""


@pytest.mark.parametrize("change", [no_change, bend])
def test_the_ledger_says_that_somebody_was_told_and_not_of_what(
    federation: Federation, change: Callable[[Federation], None]
) -> None:
    """Whoever audits cannot tell by it whether there was something to consent to."""
    change(federation)
    why = approve(federation, although=True)
    assert why.startswith("approved (told: ")
    assert len(why) == len("approved (told: )") + 32
    kept = Path(federation.policy.silo.directory) / "fits.jsonl"
    assert kept.stat().st_mode & 0o077 == 0
    (entry,) = [json.loads(line) for line in kept.read_text().splitlines()]
    assert entry["name"].startswith(why.removeprefix("approved (told: ").removesuffix(")"))
    assert entry["although_unfit"]
    assert entry["told"]["default"]["unfit"] == (["sex"] if change is bend else [])
    assert entry["told"]["default"]["shares"] == {"sex": 0.0 if change is bend else 0.8}


def test_the_name_of_what_was_told_needs_the_silos_secret(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    names = []
    for secret in (b"a" * 32, b"b" * 32):
        fits = Fits(dict, secret=lambda s=secret: s, told=federation.directory / "told")
        names.append(fits.record("p", (), although=False))
    assert names[0] != names[1]


def test_two_approvals_of_one_plan_do_not_tell_whether_the_rows_were_read_anew(
    federation: Federation,
) -> None:
    fits = Fits(dict, secret=lambda: b"a" * 32, told=federation.directory / "told")
    assert fits.record("p", (), although=False) != fits.record("p", (), although=False)


def test_what_was_told_is_written_by_no_link(federation: Federation) -> None:
    other = federation.directory / "other"
    (federation.directory / "told").symlink_to(other)
    fits = Fits(dict, secret=lambda: b"a" * 32, told=federation.directory / "told")
    with pytest.raises(LedgerUnavailable):
        fits.record("p", (), although=False)
    assert not other.exists()


def test_no_gateway_refuses_for_what_its_rows_hold(federation: Federation) -> None:
    """A refusal would be an answer about the rows that nobody paid for."""
    bend(federation)
    plan = federation.plan()
    with federation.open() as silo:
        verdict = silo.gateway.propose(plan=federation.sealed(plan))
        assert federation.verdict(verdict).answer is Answer.APPROVED
        assert isinstance(federation.release(silo, plan), Release)


def test_check_read_says_it_before_any_plan(federation: Federation) -> None:
    bend(federation)
    (lines,) = read_tables(federation.policy).values()
    assert "sex: 150 of 150 values not listed: 0.0% of it fits" in lines
    assert "sex: hardly anything of it fits the schema" in lines
    assert people().digest == federation.policy.datasets[0].schema_digest
