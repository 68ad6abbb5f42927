"""Accountants of three libraries agree on every method's certificate, and refute a false one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from silosynth.common.accounting import GaussianCost, Noise, cks_epsilon
from silosynth.common.certificate import Certificate, certify_plan, check, check_by_others
from silosynth.common.certificate.accountants import (
    least_epsilon,
    opacus_epsilon,
    opendp_epsilon,
    opendp_rho,
)
from silosynth.common.certificate.certify import PhaseCost, certify
from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import Method, Plan, trust_of
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.drift import plan_drift
from silosynth.server.judging import Sought, plan_evaluation
from silosynth.server.planning import new_plan
from silosynth.server.planning.tables import new_tables_plan
from tests.support.fakes import small_schema
from tests.support.gateways.signed import make_sampler, people
from tests.support.tables.families import SCHEMA as SEVERAL_TABLES
from tests.support.tables.texts import messages

Accountant = Callable[[Any, float], float]
SILOS = ("east", "north", "south", "west")
DELTA = 1e-6
TRUST: dict[str, dict[str, Any]] = {
    "own": {},
    "shared": {"trust": "shared", "colluders": 1, "absent": 1, "attempts": 2},
    "three rows a person": {"rows_per_person": 3},
}


@pytest.fixture(autouse=True)
def _asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each accountant of another library say once in this module what it says to costs."""
    for name, accountant in REMEMBERING.items():
        monkeypatch.setattr(check, name, accountant)


def _remembering(accountant: Accountant) -> Accountant:
    known = cache(accountant)
    return lambda costs, delta: known(costs if isinstance(costs, Fraction) else (*costs,), delta)


REMEMBERING = {
    accountant.__name__: _remembering(accountant)
    for accountant in (least_epsilon, opacus_epsilon, opendp_epsilon)
}


TERMS: dict[str, Any] = {"epsilon": 2.0, "delta": DELTA, "silos": SILOS}


def pictures() -> Schema:
    """Return a schema of images of two by two pixels, and what they show."""
    names = [f"p{i}" for i in range(4)]
    pixel = {"kind": "integer", "minimum": 0, "maximum": 3, "source": "public"}
    kind = {"kind": "categorical", "categories": ["bar", "dot"], "source": "public"}
    shown = [{"name": n} | pixel for n in names]
    image = {"name": "scan", "width": 2, "height": 2, "attributes": names}
    facts = {"attributes": [*shown, {"name": "kind"} | kind | {"other": False}]}
    return parse_schema({"name": "pictures", "label": "kind", "images": [image]} | facts)


def of_tables(*, trust: str = "own", **facts: Any) -> Plan:
    """Return a plan of several tables, whose unit is a person with all rows."""
    mode = trust_of(trust, **facts)
    absent = "continue" if mode.absent else "stop"
    return new_tables_plan(SEVERAL_TABLES, trust=mode, on_absent=absent, **TERMS)


def about_a_sampler(method: str, **facts: Any) -> Plan:
    """Return a plan that asks about the sampler of a run, of uniform columns."""
    held_out = Fraction(1, 10) if method == "evaluate" else None
    trained = new_plan(people(), method="mst", held_out=held_out, **TERMS, **facts)
    sampler = make_sampler(trained)
    if method == "evaluate":
        return plan_evaluation(trained, sampler, sought=Sought(seed=1, repeats=4))[0]
    return plan_drift(trained, sampler, epsilon=2.0)[0]


OF_THEIR_OWN: dict[str, Callable[..., Plan]] = {
    "fixed": partial(new_plan, small_schema(), method="fixed", workload=[("age", "ill")], **TERMS),
    "votes": partial(new_plan, messages(), method="votes", **TERMS),
    "central": partial(new_plan, pictures(), method="central", **TERMS),
    "families": of_tables,
    "evaluate": partial(about_a_sampler, "evaluate"),
    "drift": partial(about_a_sampler, "drift"),
}
"""Methods whose plans are made otherwise, or of another schema."""


@cache
def certificate_of(method: str, **facts: object) -> Certificate:
    usual = partial(new_plan, small_schema(), method=method, **TERMS)
    return certify_plan(OF_THEIR_OWN.get(method, usual)(**facts))


@pytest.mark.parametrize("trust", TRUST)
@pytest.mark.parametrize("method", [m.value for m in Method])
def test_every_method_is_proven_by_one_accountant_and_refuted_by_none(
    method: str, trust: str
) -> None:
    if method == "families" and "rows_per_person" in TRUST[trust]:
        pytest.skip("its unit is a person with all rows")
    certificate = certificate_of(method, **TRUST[trust])
    checked = check_by_others(certificate)
    assert checked[0].claim.epsilon == certificate.epsilon
    stated = {c.claim.what: c.claim.epsilon for c in checked}
    assert len(stated) == 3 + (trust == "shared"), "in 1, 2 and 3 silos, and alone"
    for one in checked:
        assert check.PLD in one.proven_by
        above = {b.accountant: b.epsilon for b in one.bounds if b.above}
        (least,) = (b.epsilon for b in one.bounds if not b.above)
        assert least is not None
        assert least <= min(e for e in above.values() if e is not None) * (1 + 1e-6)
        assert least > 0.9 * one.claim.epsilon, "tight enough to refute a false one"
        assert above[check.OPENDP] is not None
        assert above[check.OPACUS] is not None or trust == "shared", "small shares are its limit"


@pytest.mark.parametrize("part", ["epsilon", "overlap", "noise", "rate"])
def test_a_certificate_that_states_too_little_is_refused(part: str) -> None:
    certificate = certificate_of("dp-sgd")
    phase = certificate.phases[0]
    data = certificate.model_dump(mode="json")
    if part == "epsilon":
        data |= {"epsilon": certificate.epsilon * 0.95, "epsilon_pld": certificate.epsilon * 0.95}
    elif part == "overlap":
        data["overlaps"][1]["epsilon"] *= 0.95
    elif part == "noise":
        data["phases"][0]["sigma2"] = str(Fraction(phase.sigma2) / 2)
    else:
        number = next(i for i, p in enumerate(certificate.phases) if p.rate is not None)
        data["phases"][number]["rate"] = str(Fraction(certificate.phases[number].rate or 1) * 2)
    with pytest.raises(InvalidPlan):
        check_by_others(Certificate.model_validate(data))


@pytest.mark.parametrize("method", ["mst", "one-shot", "dp-sgd"])
@pytest.mark.parametrize("accountant", ["pld_epsilon", "opacus_epsilon", "opendp_epsilon"])
def test_an_accountant_that_proves_too_much_is_caught_by_the_others(
    method: str, accountant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in turn, though the project's own statement stays as it is."""
    certificate = certificate_of(method)
    monkeypatch.setattr(check, accountant, lambda *_: certificate.epsilon * 0.85)
    with pytest.raises(InvalidPlan, match="which is below"):
        check_by_others(certificate)


@pytest.mark.parametrize("method", ["mst", "one-shot", "dp-sgd"])
def test_the_projects_own_accountant_is_caught_where_it_states_too_little(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where certificate and check use the same wrong one."""
    for place in ("certify", "check"):
        name = f"silosynth.common.certificate.{place}.pld_epsilon"
        honest = check.pld_epsilon  # type: ignore[attr-defined]  # replaced where it is used
        monkeypatch.setattr(name, lambda c, d, h=honest: 0.85 * h(c, d))
    with pytest.raises(InvalidPlan, match=r"is at least|which is below"):
        check_by_others(certificate_of.__wrapped__(method))


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_ledger_that_is_charged_another_rho_than_opendp_says_is_refused(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "opendp_rho", lambda cost: factor * opendp_rho(cost))
    with pytest.raises(InvalidPlan, match="OpenDP charges rho"):
        check_by_others(certificate_of("mst"))


def test_noise_that_was_chosen_during_a_run_is_checked_by_what_holds_then() -> None:
    phases = [PhaseCost(name="pairs", count=20, noise=Noise(sigma2=Fraction(200)))]
    certificate = certify(
        phases=phases,
        delta=DELTA,
        plan_id="p",
        plan_digest="sha256:p",
        schema_digest="sha256:s",
        silos=2,
        fixed_in_advance=False,
    )
    first = check_by_others(certificate)[0]
    assert first.proven_by == (check.OPENDP,)
    silent = {b.accountant for b in first.bounds if b.epsilon is None}
    assert silent == {check.PLD, check.OPACUS}


@pytest.mark.parametrize("rho", [Fraction(1, 10_000), Fraction(1, 10), Fraction(1), Fraction(50)])
def test_opendp_converts_as_the_ledger_does(rho: Fraction) -> None:
    for delta in (1e-3, 1e-6, 1e-9):
        assert opendp_epsilon(rho, delta) == pytest.approx(cks_epsilon(rho, delta), rel=1e-9)


@pytest.mark.parametrize(
    ("cost", "least", "rdp"),
    [
        (GaussianCost(sigma2=Fraction(4), count=1), 2.276, 2.419),
        (GaussianCost(sigma2=Fraction(100), count=100), 4.887, 5.222),
    ],
)
def test_golden_values_of_the_others(cost: GaussianCost, least: float, rdp: float) -> None:
    assert least_epsilon([cost], DELTA) == pytest.approx(least, rel=0.01)
    assert opacus_epsilon([cost], DELTA) == pytest.approx(rdp, rel=0.01)


def test_opacus_knows_a_thousand_sampled_steps() -> None:
    step = GaussianCost(sigma2=Fraction(10**12), count=1_000, sensitivity=10**6)
    sampled = replace(step, cells=1, rate=Fraction(1, 100))
    assert opacus_epsilon([sampled], DELTA) == pytest.approx(2.437, abs=0.001)
    assert 2.0 < least_epsilon([sampled], DELTA) < 2.125


def test_the_command_says_who_proves_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = certificate_of("mst")
    path = tmp_path / "certificate.json"
    path.write_text(certificate.model_dump_json())
    assert run(["certificate", "check", str(path), "--json"]) == 0
    printed = capsys.readouterr()
    data = json.loads(printed.out)["data"]
    assert data["claims"][0]["proven_by"][0] == check.PLD
    assert {b["is"] for b in data["claims"][0]["bounds"]} == {"upper bound", "lower bound"}
    flat = " ".join(printed.err.split())
    assert "The statement is proven by dp-accounting, PLD" in flat
    assert "nobody can prove less" in flat

    false = certificate.model_copy(
        update={"epsilon": 1.0, "epsilon_pld": 1.0},
    )
    path.write_text(false.model_dump_json())
    assert run(["certificate", "check", str(path)]) != 0
    path.write_text('{"version": 2}')
    assert run(["certificate", "check", str(path)]) != 0
    assert "is no certificate of a known version" in capsys.readouterr().err
    assert run(["certificate", "check", str(tmp_path / "absent.json")]) != 0


def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    path = tmp_path / "certificate.json"
    path.write_text(certificate_of("mst").model_dump_json())
    assert run(["certificate", "check", str(path)]) != 0
    assert "silosynth[check]" in capsys.readouterr().err
