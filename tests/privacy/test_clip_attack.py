"""A coordinator that asks for a tiny clip, to read off a signed release whether a record is there.

With weights of zero but for a bias that is sure of the record's codes, that record alone has no
gradient. Below a clip of 1e-35 its scale was infinite, its integers not a number, and every cell of
the sum became -2^63: largest cell 8e5 without the record, 9.2e18 with it, under an approved plan of
epsilon 1.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.client.gateway import verify as verify_module
from silosynth.common.codec import layout_of
from silosynth.common.errors import InvalidPlan
from silosynth.common.generator import MaskedMlp, bias_slices
from silosynth.common.messages import Answer, Refusal, Release, Request, encode_request
from silosynth.common.plan import BOUND, Plan, encode_plan, encode_weights, parse_plan
from silosynth.common.plan.training import LARGEST_CLIP, LEAST_CLIP
from silosynth.common.trust import Purpose
from silosynth.common.trust.seal import seal
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from tests.support.gateways.signed import Federation, people

ROUNDS = 3
TARGET = {"age": 7, "sex": 1}
OTHERS = [{"age": age, "sex": 0} for age in range(7)] * 4
NETWORK = MaskedMlp(width=4, layers=1, views=1)
TINY = [5e-324, 1e-310, 1e-45, 1e-38, 1e-37, 1.2e-35, 1e-30, 1e-25, 1e-20, 1e-9, LEAST_CLIP * 0.999]
NO_NUMBERS = [0.0, -1.0, LARGEST_CLIP * 1.001, 1e308, math.nan, math.inf, -math.inf]


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    made = Federation(directory=tmp_path)
    automatic = {"automatic": True, "max_epsilon": 2.0, "max_delta": 1e-5}
    made.change(approval=automatic | {"methods": ["dp-sgd"]})
    return made


def _hold(federation: Federation, *, with_target: bool) -> None:
    """Write the silo's table, with the record or without it."""
    rows = [*OTHERS, *([TARGET] if with_target else [])]
    table = pa.table(
        {
            "age": [row["age"] for row in rows],
            "sex": ["fm"[row["sex"]] for row in rows],
            "who": [str(i) for i in range(len(rows))],
        }
    )
    pq.write_table(table, federation.directory / "people.parquet")


def _plan(federation: Federation) -> Plan:
    """Return a plan in whose every step everybody is, so that the record is."""
    plan = new_plan(
        people(),
        epsilon=1.0,
        delta=1e-6,
        silos=("north", "south"),
        method="dp-sgd",
        rows_per_person=2,
        plan_id="p",
        training=TrainingChoice(
            architecture=NETWORK,
            rounds=ROUNDS,
            local_steps=1,
            rate=Fraction(99, 100),
            sizes={"north": 100, "south": 100},
        ),
    )
    roster = {"north": federation.north.public, "south": federation.south.public}
    return parse_plan(plan.model_dump(mode="json") | {"roster": roster})


def _clipped_to(plan: Plan, clip: float) -> Plan:
    """Return the plan with another clip, as a coordinator without our checks can make it."""
    made = parse_plan(plan.model_dump(mode="json"))
    object.__setattr__(made.training, "clip", clip)
    return made


def _sure_of_the_target() -> np.ndarray:
    """Return weights that predict the record's codes for certain, and nothing else."""
    layout = layout_of(people())
    weights = np.zeros(NETWORK.parameters(layout), dtype=np.float32)
    places = bias_slices(NETWORK, layout)
    for name, code in TARGET.items():
        weights[places[name]][code] = 1e4
    return weights


def _request(federation: Federation, plan: Plan, number: int) -> bytes:
    weights = encode_weights(_sure_of_the_target())
    step = {"round": number, "weights": weights.digest, "batch": 20}
    values = {"plan_digest": plan.digest, "phase": "training", "silo": "north", "training": step}
    request = Request.model_validate(values).with_weights(weights)
    return seal(encode_request(request), purpose=Purpose.REQUEST, key=federation.hub)


@pytest.mark.parametrize("clip", TINY + NO_NUMBERS)
def test_a_gateway_refuses_such_a_clip_and_charges_nothing(
    federation: Federation, clip: float
) -> None:
    _hold(federation, with_target=True)
    plan = _plan(federation)
    spelled = json.dumps(clip).encode()
    body = encode_plan(plan).replace(b'"clip":1.0', b'"clip":' + spelled)
    assert spelled in body
    sealed = seal(body, purpose=Purpose.PLAN, key=federation.hub)
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=sealed))
        assert verdict.answer is Answer.REFUSED
        assert "clip" in (verdict.message or "")
        answer = silo.gateway.answer(plan=sealed, request=_request(federation, plan, 0))
        assert isinstance(federation.read(answer), Refusal)
        assert silo.ledger.charges() == ()


@pytest.mark.parametrize("clip", [c for c in TINY + NO_NUMBERS if math.isfinite(c)])
def test_a_gateway_refuses_such_a_clip_even_if_plans_allowed_it(
    federation: Federation, clip: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What plans allow may change in a later version; what rows are fit for does not."""
    _let_plans_have_any_clip(monkeypatch)
    plan = _clipped_to(_plan(federation), clip)
    sealed = federation.sealed(plan)
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=sealed))
        assert verdict.answer is Answer.REFUSED
        assert "clip is" in (verdict.message or "")
        answer = silo.gateway.answer(plan=sealed, request=_request(federation, plan, 0))
        assert isinstance(federation.read(answer), Refusal)
        assert silo.ledger.charges() == ()


@pytest.mark.parametrize("clip", TINY + NO_NUMBERS)
def test_a_plan_with_such_a_clip_cannot_be_made(federation: Federation, clip: float) -> None:
    data = _plan(federation).model_dump(mode="json")
    data["training"]["clip"] = clip
    with pytest.raises(InvalidPlan, match="clip"):
        parse_plan(data)


@pytest.mark.parametrize("clip", [LEAST_CLIP, LARGEST_CLIP])
def test_the_ends_of_the_range_are_answered(federation: Federation, clip: float) -> None:
    _hold(federation, with_target=True)
    data = _plan(federation).model_dump(mode="json")
    data["training"]["clip"] = clip
    plan = parse_plan(data)
    assert _largest_cell(federation, plan) < _most(plan)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("clip", [5e-324, 1e-37, 1e-30, 1e-22])
@pytest.mark.parametrize("with_target", [False, True])
def test_no_release_tells_of_the_record_at_any_clip(
    federation: Federation, clip: float, with_target: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack itself, with both checks of the clip taken away."""
    _let_plans_have_any_clip(monkeypatch)
    monkeypatch.setattr(verify_module, "check_clip", lambda clip: None)
    _hold(federation, with_target=with_target)
    plan = _clipped_to(_plan(federation), clip)
    assert _largest_cell(federation, plan) < _most(plan)


def _let_plans_have_any_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the check out of plans: read a plan with a usual clip, and put its own into it."""

    def decode(data: bytes) -> Plan:
        values = json.loads(data)
        clip = values["training"]["clip"]
        return _clipped_to(
            parse_plan({**values, "training": values["training"] | {"clip": 1.0}}), clip
        )

    monkeypatch.setattr(verify_module, "decode_plan", decode)


def _most(plan: Plan) -> float:
    """Return what no cell of a round can reach: all rows' bounds, and forty deviations of noise."""
    return (len(OTHERS) + 1) * BOUND + 40 * float(plan.phases[-1].sigma2) ** 0.5


def _largest_cell(federation: Federation, plan: Plan) -> int:
    """Return the largest cell of all rounds of a plan, as an attacker sees it."""
    sealed, cells = federation.sealed(plan), []
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=sealed))
        assert verdict.answer is Answer.APPROVED, verdict
        for number in range(ROUNDS):
            request = _request(federation, plan, number)
            release = federation.read(silo.gateway.answer(plan=sealed, request=request))
            assert isinstance(release, Release), release
            cells += [abs(int(v)) for v in release.marginals[0]]
    return max(cells)
