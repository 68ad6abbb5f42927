"""What every method plans, asks and hands out stays as it was, byte by byte where it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from silosynth.common.plan import decode_plan, encode_plan
from silosynth.server.methods import METHODS as OF_ONE_TABLE
from tests.golden.make_methods import CASES, METHODS, PATH, describe, plan_of

GOLDEN: dict[str, Any] = json.loads(PATH.read_text())


def test_every_method_is_among_the_cases() -> None:
    """Central images need a schema with images, which the cases' is not: its own tests hold it."""
    named = {m.value for m in OF_ONE_TABLE} - {"central"}
    assert named == set(METHODS) <= set(CASES) == set(GOLDEN)


@pytest.mark.parametrize("name", sorted(CASES))
def test_plans_requests_and_certificates_keep_their_bytes(name: str) -> None:
    found, kept = describe(name), json.loads(json.dumps(GOLDEN[name]))
    fitted = [d.get("outcome", {}).pop("marginals", []) for d in (found, kept)]
    assert found == kept
    for ours, golden in zip(*fitted, strict=True):
        assert ours == pytest.approx(golden, rel=1e-3, abs=1.0)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_plan_is_read_as_it_is_written(name: str) -> None:
    plan = plan_of(name)
    assert encode_plan(decode_plan(encode_plan(plan))) == encode_plan(plan)
