"""A policy is data: what it does not name is refused, and what it grants is rounded down."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from silosynth.client.ledger import Ledger
from silosynth.client.policy import load_policy, parse_policy, policy_words
from silosynth.client.silo import check_files, ledger_path
from silosynth.common.accounting import RHO_UNIT, cks_epsilon
from silosynth.common.accounting.zcdp import budget_units
from silosynth.common.audit import Cap, Scope, ScopeKind
from silosynth.common.cli.app import run
from silosynth.common.errors import (
    InvalidArgument,
    InvalidPolicy,
    InvalidTable,
    LedgerUnavailable,
    SilosynthError,
)
from silosynth.common.plan import dump_plan
from silosynth.common.schema import dump_schema, load_schema
from tests.support.gateways.signed import Federation, people

KEY = "ed25519:" + "A" * 43
BUDGET = {"epsilon": 1.0, "delta": 1e-6}


def _data(**changes: Any) -> dict[str, Any]:
    dataset = {
        "name": "default",
        "format": "parquet",
        "path": "people.parquet",
        "schema": "schema.yaml",
        "schema_digest": "sha256:" + "0" * 64,
        "budget": BUDGET,
    }
    data: dict[str, Any] = {
        "version": 1,
        "silo": {"name": "north", "key": "k", "persons_secret": "s", "directory": "d"},
        "datasets": [dataset],
        "coordinators": [{"name": "hub", "key": KEY, "budget": BUDGET}],
        "projects": [{"name": "default", "budget": BUDGET, "roster": {"north": KEY}}],
    }
    return data | changes


OTHER, THIRD = ("ed25519:" + c * 42 + "E" for c in "BC")


def _approvers(*keys: str) -> list[dict[str, str]]:
    return [{"name": f"a{n}", "key": key} for n, key in enumerate(keys)]


def _dataset(**changes: Any) -> dict[str, Any]:
    return _data(datasets=[_data()["datasets"][0] | changes])


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-6, 1e-3])
def test_a_budget_in_units_never_exceeds_its_epsilon_and_one_more_unit_would(
    epsilon: float, delta: float
) -> None:
    units = budget_units(epsilon=epsilon, delta=delta)
    assert cks_epsilon(Fraction(units, RHO_UNIT), delta) <= epsilon
    assert cks_epsilon(Fraction(units + 1, RHO_UNIT), delta) > epsilon


def test_a_policy_names_a_cluster_of_the_silos_own() -> None:
    for address in ("local", "10.0.0.5:6379", "ray.internal:6379", "[::1]:6379"):
        policy = parse_policy(_dataset(cluster=address), home=Path("/"))
        assert policy.datasets[0].source().cluster == address
        assert any(address in words and "can read" in words for words in policy_words(policy))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cluster": "10.0.0.5"}, "HOST:PORT"),
        ({"cluster": "ray://head:10001"}, "HOST:PORT"),
        ({"cluster": "auto"}, "HOST:PORT"),
        ({"cluster": "head:6379\n"}, "HOST:PORT"),
        ({"cluster": "local", "person_column": "id"}, "bound the rows of a person"),
        ({"cluster": "local", "format": "csv"}, "store it as parquet"),
    ],
)
def test_a_cluster_that_cannot_count_a_data_set_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidPolicy, match=reason):
        parse_policy(_dataset(**changes), home=Path("/"))


def test_every_scope_of_a_policy_has_its_cap() -> None:
    caps = parse_policy(_data(), home=Path("/")).scope_caps()
    assert caps == dict.fromkeys(
        (
            Scope(kind=ScopeKind.DATASET, name="default"),
            Scope(kind=ScopeKind.CONSUMER, name="hub"),
            Scope(kind=ScopeKind.PROJECT, name="default"),
        ),
        Cap(units=budget_units(epsilon=1.0, delta=1e-6), order=round(21.98453712463379 * 2**20)),
    )


def test_paths_are_relative_to_the_policy() -> None:
    policy = parse_policy(_data(), home=Path("/srv/silo"))
    assert policy.silo.key == "/srv/silo/k"
    assert policy.datasets[0].path == "/srv/silo/people.parquet"
    assert parse_policy(_dataset(path="/data/x.parquet"), home=Path("/srv")).datasets[0].path == (
        "/data/x.parquet"
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_data(version=2), "version"),
        (_data(extra=1), "extra"),
        (_data(silo=_data()["silo"] | {"name": "../x"}), "silo: name"),
        (_data(silo=_data()["silo"] | {"keys": "x"}), "keys"),
        (_data(datasets=[]), "datasets"),
        (_data(datasets=_data()["datasets"] * 2), "stands twice"),
        (_dataset(budget={"epsilon": 1.0}), "delta: is not declared"),
        (_dataset(budget={"epsilon": 1e-9, "delta": 1e-30}), "too small"),
        (_dataset(budget={"epsilon": "1", "delta": 1e-6}), "epsilon"),
        (_dataset(format="xml"), "format"),
        (_dataset(uri="postgresql://x"), "path alone"),
        (_dataset(query="SELECT 1"), "has no query"),
        (_dataset(format="postgresql", query="SELECT 1"), "uri"),
        (_dataset(push_down=True), "push counting down"),
        (_dataset(rows_per_person=0), "rows_per_person"),
        (_dataset(schema_digest="0" * 64), "schema_digest"),
        (_data(coordinators=[{"name": "hub", "key": "x", "budget": BUDGET}]), "public key"),
        (_data(coordinators=[{"name": n, "key": KEY, "budget": BUDGET} for n in "ab"]), "same key"),
        (
            _data(projects=[{"name": "p", "budget": BUDGET, "roster": {"south": KEY}}]),
            "lacks this silo",
        ),
        (_data(approval={"automatic": True}), "need max_epsilon"),
        (_data(approval={"projects": ["other"]}), "not in the file"),
        (_data(approval={"coordinators": ["other"]}), "not in the file"),
        (
            _data(coordinators=[{"name": "hub", "key": KEY[:-1] + "B", "budget": BUDGET}]),
            "public key",
        ),
        (_data(approvers=_approvers(OTHER, OTHER)), "same key"),
        (_data(approvers=_approvers(OTHER, OTHER[:-1] + "F")), "public key"),
        (_data(approvers=_approvers(KEY)), "of a coordinator or of a silo"),
        (_data(coordinators=[], approvers=_approvers(KEY)), "of a coordinator or of a silo"),
        (_data(approvers=[*_approvers(OTHER), *_approvers(THIRD)]), "stands twice"),
        (_data(approvers=_approvers(OTHER), approval={"needed": 2}), "more approvers are needed"),
        (_data(approval={"needed": 1}), "more approvers are needed"),
        (_data(approvers=_approvers(OTHER), approval={"needed": 0}), "needed"),
        (_data(caps={"marginals": 0}), "marginals"),
        (_data(caps={"cells": 5}), "cells"),
        (_data(caps={"silos_in_sum": 0}), "silos_in_sum"),
        (_data(caps={"silos_in_sum": 1001}), "silos_in_sum"),
        (_data(relay={"users": ["Root; rm"]}), "users"),
        (_data(metrics={"port": 70_000}), "port"),
        (_data(logs={"format": "xml"}), "format"),
    ],
)
def test_a_policy_that_is_not_one_is_refused_naming_the_field(
    data: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        parse_policy(data, home=Path("/"))
    assert words in refused.value.message


def test_all_approvers_are_needed_unless_the_policy_says_how_many() -> None:
    named = _approvers(OTHER, THIRD)
    for approval, needed in (({}, 2), ({"needed": 1}, 1)):
        policy = parse_policy(_data(approvers=named, approval=approval), home=Path("/"))
        assert policy.approving().needed == needed
        assert policy.rules().approvers.names == {OTHER: "a0", THIRD: "a1"}
        assert f"until {needed} of the approvers a0, a1 have signed" in " ".join(
            policy_words(policy)
        )
    assert parse_policy(_data(), home=Path("/")).approving().needed == 0


@pytest.mark.parametrize("text", ["version = ", "[silo", "version = 1\nversion = 1", "\ud800"])
def test_a_file_that_is_not_toml_is_refused_naming_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "silo.toml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(InvalidPolicy, match=r"silo\.toml"):
        load_policy(path)
    with pytest.raises(InvalidPolicy, match="cannot be read"):
        load_policy(tmp_path / "none.toml")


def _envelope(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


def test_a_silo_that_was_just_made_passes_its_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema, table, silo = (tmp_path / n for n in ("schema.yaml", "people.parquet", "silo"))
    schema.write_text(dump_schema(people()))
    options = ["--name", "north", "--schema", str(schema), "--table", str(table)]
    assert run(["silo", "init", str(silo), *options, "--json"]) == 0
    public_key = _envelope(capsys)["data"]["public_key"]
    policy = str(silo / "silo.toml")
    assert run(["silo", "check", "--policy", policy]) == InvalidPolicy.exit_code
    table.touch()
    assert run(["silo", "check", "--policy", policy, "--json"]) == 0
    checked = _envelope(capsys)["data"]
    words = " ".join(checked["words"])
    assert "No coordinator is trusted" in words
    assert "Every plan waits" in words
    assert checked["warnings"] == []
    assert load_policy(Path(policy)).projects[0].roster == {"north": public_key}
    twice = load_policy(Path(policy)).model_dump(mode="json", by_alias=True, exclude_none=True)
    twice["datasets"].append(twice["datasets"][0] | {"name": "again"})
    Path(policy).write_text(tomli_w.dumps(twice))
    assert run(["silo", "check", "--policy", policy, "--json"]) == 0
    assert "'default' and 'again'" in _envelope(capsys)["data"]["warnings"][0]
    for name in ("keys/silo.pem", "keys/persons.secret", "state/ledger.sqlite"):
        assert (silo / name).stat().st_mode & 0o777 == 0o600
    assert run(["silo", "init", str(silo), *options]) == 4, "a policy was written over"


def _keyed(federation: Federation) -> Path:
    return Path(federation.policy.silo.key)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda f: _keyed(f).chmod(0o644), InvalidArgument),
        (lambda f: Path(f.policy.silo.persons_secret).unlink(), InvalidArgument),
        (lambda f: ledger_path(f.policy).chmod(0o640), InvalidPolicy),
        (lambda f: ledger_path(f.policy).unlink(), LedgerUnavailable),
        (lambda f: Path(f.policy.datasets[0].path or "").unlink(), InvalidPolicy),
        (
            lambda f: Path(f.policy.datasets[0].schema_path).write_text(
                dump_schema(people()).replace("maximum: 9", "maximum: 8")
            ),
            InvalidPolicy,
        ),
    ],
)
def test_what_is_not_as_the_policy_says_is_found(
    tmp_path: Path, damage: Any, error: type[SilosynthError]
) -> None:
    federation = Federation(directory=tmp_path)
    check_files(federation.policy)
    damage(federation)
    with pytest.raises(error):
        check_files(federation.policy)


def test_a_check_may_read_the_table_before_a_plan_pays_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Federation(directory=tmp_path)
    policy = tmp_path / "north" / "silo.toml"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert run(["silo", "check", "--policy", str(policy), "--read", "--json"]) == 0
    (note,) = _envelope(capsys)["data"]["tables"]["default"]
    assert note.startswith("sex: 30 of 150 values")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    policy.write_text(policy.read_text().replace('column = "who"', 'column = "patient"'))
    assert run(["silo", "check", "--policy", str(policy), "--json"]) == 0
    assert "tables" not in _envelope(capsys)["data"]
    assert run(["silo", "check", "--policy", str(policy), "--read"]) == InvalidTable.exit_code
    said = capsys.readouterr().err
    assert "data set 'default'" in said
    assert "'patient', which names persons, is missing" in said


def test_a_check_foresees_what_the_gateway_answers_and_spends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    federation = Federation(directory=tmp_path)
    policy = tmp_path / "north" / "silo.toml"
    text = policy.read_text()
    automatic = 'automatic = true\nmax_epsilon = 2.0\nmax_delta = 1e-5\nmethods = ["independent"]'
    policy.write_text(text.replace("automatic = false", automatic))
    federation.policy = load_policy(policy)
    plans = {
        "approved": federation.plan(),
        "pending": federation.plan(id="q", epsilon=2.5),
        "refused": federation.plan(id="r", project="other"),
    }
    with federation.open() as silo:
        before = silo.ledger.head
        for answer, plan in plans.items():
            for name, data in (
                ("p.yaml", dump_plan(plan).encode()),
                ("p", federation.sealed(plan)),
            ):
                (tmp_path / name).write_bytes(data)
                words = ["silo", "check", "--policy", str(policy), "--plan", str(tmp_path / name)]
                assert run([*words, "--json"]) == 0
                assert _envelope(capsys)["data"]["plan"]["answer"] == answer
        assert silo.ledger.head == before
        for answer, plan in plans.items():
            verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
            assert verdict.answer.value == answer


def test_the_gateway_refuses_a_schema_that_nobody_reviewed(tmp_path: Path) -> None:
    federation = Federation(directory=tmp_path)
    schema = Path(federation.policy.datasets[0].schema_path)
    schema.write_text(dump_schema(people()).replace("source: public", "source: unreviewed"))
    data = federation.policy.model_dump(mode="json", by_alias=True)
    data["datasets"][0]["schema_digest"] = load_schema(schema).digest
    federation.policy = type(federation.policy).model_validate(data)
    with pytest.raises(InvalidPolicy, match="unreviewed"), federation.open():
        pass
    with Ledger.open(ledger_path(federation.policy), caps={}) as ledger:
        assert ledger.charges() == ()
