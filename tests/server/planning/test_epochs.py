"""A series' template and its epochs: what the coordinator makes, and refuses to make."""

from __future__ import annotations

import json
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from silosynth.common.accounting import RHO_UNIT, cks_epsilon
from silosynth.common.certificate import certify_plan, check_certificate
from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidArgument, InvalidPlan
from silosynth.common.plan import Plan, dump_plan, load_plan, plan_units
from silosynth.server.planning import Calendar, EpochRun, new_series, next_epoch
from tests.support.fakes import small_plan

CALENDAR = Calendar(epochs=3, days=30, first=date(2030, 1, 1))
PLAN = small_plan(epsilon=0.5)
UNITS = plan_units(PLAN)


def template(**changes: float) -> Plan:
    """Return a series of three epochs."""
    return new_series(PLAN, name="monthly", calendar=CALENDAR, **changes)


def begun(plan: Plan, units: int = UNITS) -> EpochRun:
    return EpochRun(plan=plan, units=units)


def test_epochs_differ_in_their_number_and_in_what_went_before_alone() -> None:
    first = next_epoch(template(), [])
    second = next_epoch(template(), [begun(first, 7)])
    assert (first.id, second.id) == ("monthly-001", "monthly-002")
    assert second.series is not None
    assert (second.series.epoch, second.series.before_units) == (2, 7)
    assert first.decided == second.decided == template().digest
    assert plan_units(second) == UNITS


def test_the_certificate_says_what_a_person_who_stays_has_lost() -> None:
    first = next_epoch(template(), [])
    certificates = [
        certify_plan(first),
        certify_plan(next_epoch(template(), [begun(first)])),
    ]
    said = [c.assumptions[-1] for c in certificates]
    for certificate in certificates:
        check_certificate(certificate)
    lost = [float(text.split("at most epsilon ")[1].split(" ")[0]) for text in said]
    assert said[1].startswith("Epoch 2 of 3 of series monthly")
    assert lost[0] < lost[1] < 2 * lost[0]


def test_no_epsilon_of_a_certificate_is_below_what_was_lost() -> None:
    runs: list[EpochRun] = []
    for number in (1, 2, 3):
        plan = next_epoch(template(), runs)
        runs.append(begun(plan))
        said = certify_plan(plan).assumptions[-1]
        so_far = float(said.split("at most epsilon ")[1].split(" ")[0])
        ever = float(said.split("loses at most ")[1].split(" ")[0])
        delta = plan.privacy.delta
        assert so_far >= cks_epsilon(Fraction(number * UNITS, RHO_UNIT), delta)
        assert ever >= cks_epsilon(Fraction(3 * UNITS, RHO_UNIT), delta)


def test_an_epoch_asked_twice_and_a_changed_template_are_refused() -> None:
    first = next_epoch(template(), [])
    with pytest.raises(InvalidArgument, match="epoch 1 of series monthly is past"):
        next_epoch(template(), [begun(first)], epoch=1)
    other = new_series(small_plan(epsilon=0.4), name="monthly", calendar=CALENDAR)
    with pytest.raises(InvalidArgument, match="was begun with another template"):
        next_epoch(other, [begun(first)])
    with pytest.raises(InvalidArgument, match="is no template of a series"):
        next_epoch(first, [])


def test_caps_below_one_epoch_and_a_lifetime_that_is_used_are_refused() -> None:
    with pytest.raises(InvalidPlan, match=r"cap of an epoch is epsilon 0\.1, and one epoch costs"):
        template(epoch_epsilon=0.1)
    with pytest.raises(InvalidPlan, match=r"cap of all epochs is epsilon 0\.1, and one epoch"):
        template(lifetime_epsilon=0.1)
    runs = [begun(next_epoch(template(), []))]
    runs += [begun(next_epoch(template(), runs))]
    runs += [begun(next_epoch(template(), runs))]
    with pytest.raises(InvalidPlan, match="has 3 epochs, and all were begun"):
        next_epoch(template(), runs)
    short = template(lifetime_epsilon=0.6)
    with pytest.raises(InvalidPlan, match="all epochs together may cost"):
        next_epoch(short, [begun(next_epoch(short, []))])


def test_the_commands_make_a_series_show_it_and_make_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILOSYNTH_HOME", str(tmp_path / "home"))
    one, series, out = (tmp_path / f"{name}.yaml" for name in ("plan", "series", "epoch"))
    one.write_text(dump_plan(PLAN))
    words = ["series", "new", str(one), "--epochs", "3", "--name", "monthly"]
    assert run([*words, "--first", "2030-01-01", "--out", str(series)]) == 0
    assert run(["series", "show", str(series), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["data"]
    assert [e["due"] for e in shown["calendar"]] == ["2030-01-01", "2030-01-31", "2030-03-02"]
    assert run(["series", "next", str(series), "--out", str(out)]) == 0
    assert load_plan(out).digest == next_epoch(template(), []).digest
    capsys.readouterr()
    assert run(["series", "next", str(one), "--out", str(tmp_path / "x.yaml")]) == 4
    assert "is no template of a series" in capsys.readouterr().err
    assert run([*words, "--first", "soon", "--out", str(tmp_path / "x.yaml")]) == 4
    assert "--first 'soon' is no day" in capsys.readouterr().err
