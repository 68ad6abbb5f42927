"""A signed plan that starts from a checkpoint, through a silo's real policy and ledger."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.client.desk import plan_facts, plan_words
from silosynth.client.policy import PolicyFile, policy_words
from silosynth.client.silo import check_files, foresee_plan
from silosynth.common.errors import InvalidPolicy
from silosynth.common.generator import digest_checkpoint
from silosynth.common.messages import Answer, Release, Request, encode_request
from silosynth.common.plan import Plan, dump_plan, encode_weights, parse_plan
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.common.trust import Purpose
from silosynth.common.trust.seal import seal
from silosynth.server.generator.network import PretrainedChoice, plan_pretrained
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from tests.support.gateways.signed import ATTRIBUTES, Federation, people_table
from tests.support.tiny_checkpoint import make_checkpoint


def _schema() -> Schema:
    note = {"name": "note", "kind": "text", "max_bytes": 16}
    return parse_schema({"name": "people", "attributes": [*ATTRIBUTES, note]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    made = Federation(directory=tmp_path)
    path = Path(made.policy.datasets[0].schema_path)
    path.write_text(dump_schema(_schema()))
    table = people_table()
    table = table.append_column("note", pa.array([f"note {i}" for i in range(len(table))]))
    pq.write_table(table, tmp_path / "people.parquet")
    data = made.policy.model_dump(mode="json", by_alias=True)
    data["datasets"][0]["schema_digest"] = _schema().digest
    approval = {"automatic": True, "max_epsilon": 2.0, "max_delta": 1e-5, "methods": ["dp-sgd"]}
    made.policy = PolicyFile.model_validate(data | {"approval": approval})
    return made


def _with_checkpoint(federation: Federation, folder: Path, *, digest: str | None = None) -> None:
    data = federation.policy.model_dump(mode="json", by_alias=True)
    named = {"path": str(folder), "digest": digest or digest_checkpoint(folder)}
    federation.policy = PolicyFile.model_validate(data | {"checkpoints": [named]})


def _plan(federation: Federation, folder: Path) -> Plan:
    plan = new_plan(
        _schema(),
        epsilon=1.0,
        delta=1e-6,
        silos=("north", "south"),
        method="dp-sgd",
        rows_per_person=2,
        plan_id="p",
        training=TrainingChoice(
            architecture=plan_pretrained(_schema(), PretrainedChoice(checkpoint=folder, rank=1)),
            rounds=2,
            local_steps=1,
            rate=Fraction(1, 5),
            sizes={"north": 100, "south": 100},
        ),
    )
    roster = {"north": federation.north.public, "south": federation.south.public}
    return parse_plan(plan.model_dump(mode="json") | {"roster": roster})


def _request(federation: Federation, plan: Plan, **changes: Any) -> bytes:
    weights = encode_weights(np.full(plan.phases[-1].cells, 0.1, dtype=np.float32))
    step = {"round": 0, "weights": weights.digest, "batch": 20}
    values = {"plan_digest": plan.digest, "phase": "training", "silo": "north", "training": step}
    request = Request.model_validate(values | changes).with_weights(weights)
    return seal(encode_request(request), purpose=Purpose.REQUEST, key=federation.hub)


def test_who_approves_a_plan_is_told_its_checkpoint(federation: Federation, folder: Path) -> None:
    facts = plan_facts(_plan(federation, folder)) | {"id": "p", "coordinator": "hub"}
    assert f"checkpoint {digest_checkpoint(folder)}" in " ".join(plan_words(facts))
    assert "checkpoint" not in " ".join(plan_words(facts | {"checkpoint": None}))


def test_a_round_is_answered_and_charged_once(federation: Federation, folder: Path) -> None:
    _with_checkpoint(federation, folder)
    check_files(federation.policy)
    assert any("pretrained checkpoint sha256:" in w for w in policy_words(federation.policy))
    plan = _plan(federation, folder)
    path = federation.directory / "plan.yaml"
    path.write_text(dump_plan(plan))
    assert foresee_plan(federation.policy, path).answer is Answer.APPROVED
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert verdict.answer is Answer.APPROVED, verdict
        request = _request(federation, plan)
        first = silo.gateway.answer(plan=federation.sealed(plan), request=request)
        released = federation.read(first)
        assert isinstance(released, Release), released
        assert [len(m) for m in released.marginals] == [plan.phases[-1].cells]
        assert silo.gateway.answer(plan=federation.sealed(plan), request=request) == first
        assert len(silo.ledger.charges()) == 1


@pytest.mark.parametrize("what", ["unnamed", "changed", "gone"])
def test_a_checkpoint_that_is_not_the_plans_is_refused_before_any_charge(
    federation: Federation, folder: Path, what: str, tmp_path: Path
) -> None:
    plan = _plan(federation, folder)
    words = "this silo's copy of the plan's checkpoint cannot be used"
    if what == "unnamed":
        words = "which this silo's policy does not name"
    elif what == "changed":
        copy = make_checkpoint(tmp_path / "copy", seed=2)
        _with_checkpoint(federation, copy, digest=digest_checkpoint(folder))
    else:
        _with_checkpoint(federation, tmp_path / "gone", digest=digest_checkpoint(folder))
    path = federation.directory / "plan.yaml"
    path.write_text(dump_plan(plan))
    seen = foresee_plan(federation.policy, path)
    assert (seen.answer, words in seen.words[0]) == (Answer.REFUSED, True)
    if what != "unnamed":
        with pytest.raises(InvalidPolicy, match="checkpoints: "):
            check_files(federation.policy)
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert verdict.answer is Answer.REFUSED
        assert words in (verdict.message or "")
        assert str(tmp_path) not in f"{verdict.message} {verdict.hint}"
        answer = federation.read(
            silo.gateway.answer(plan=federation.sealed(plan), request=_request(federation, plan))
        )
        assert not isinstance(answer, Release)
        assert words in answer.message
        assert silo.ledger.charges() == ()
    assert what == "unnamed" or any(str(tmp_path) in told for told in federation.told)


def test_a_plan_that_adapts_other_layers_is_refused(federation: Federation, folder: Path) -> None:
    _with_checkpoint(federation, folder)
    data = json.loads(json.dumps(_plan(federation, folder).model_dump(mode="json")))
    layers = data["training"]["architecture"]["layers"]
    layers[0]["name"] += "x"
    plan = parse_plan(data)
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
    assert verdict.answer is Answer.REFUSED
    assert "layers that its checkpoint has not" in (verdict.message or "")
