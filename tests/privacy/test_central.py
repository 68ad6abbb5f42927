"""Central images and what lies around them leave a silo with the noise that their plan pays for."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.desk import plan_facts, plan_words
from silosynth.client.policy import Policy, request_limit
from silosynth.common.accounting import rho_units
from silosynth.common.certificate import certify_plan, check_certificate
from silosynth.common.codec import Codec
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator import (
    CentralStep,
    central_map,
    sum_around,
    sum_images,
)
from silosynth.common.generator.central import MOST_CLASSES
from silosynth.common.messages import Request, count_cells, encode_request
from silosynth.common.plan import PhaseName, Plan, check_plan, check_questions, parse_plan
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.coordinator import State, finish
from silosynth.server.methods import ask_phase
from silosynth.server.planning import new_plan
from tests.support.chance import statistical
from tests.support.noised_sums import check_noise, run_silos

SILOS = ("north", "south", "west")
SIDE = 5
PIXELS = tuple(f"p{i:02d}" for i in range(SIDE**2))
IMAGES = (PhaseName.CENTRAL, PhaseName.AROUND)


def made_schema() -> Schema:
    pixel = {"kind": "integer", "minimum": 0, "maximum": 4, "source": "public"}
    kind = {"name": "kind", "kind": "categorical", "categories": ["bar", "dot", "none"]}
    attributes = [*({"name": n} | pixel for n in PIXELS), kind | {"other": False}]
    image = {"name": "shown", "width": SIDE, "height": SIDE, "attributes": PIXELS}
    return parse_schema(
        {
            "name": "shapes",
            "label": "kind",
            "attributes": [a | {"source": "public"} for a in attributes],
            "images": [image],
        }
    )


def made_table(seed: int, rows: int = 400) -> pa.Table:
    """Return bars that are dark in the middle column, and dots that are dark at the centre."""
    rng = np.random.default_rng(seed)
    dots = rng.random(rows) < 0.5
    middle = np.arange(SIDE**2) % SIDE == SIDE // 2
    centre = np.arange(SIDE**2) == SIDE**2 // 2
    dark = np.where(dots[:, None], centre, middle)
    levels = np.clip(3 * dark + rng.integers(0, 2, dark.shape), 0, 4)
    columns = dict(zip(PIXELS, levels.T, strict=True))
    return pa.table({**columns, "kind": np.where(dots, "dot", "bar")})


def made_plan(**changes: Any) -> Plan:
    asked: dict[str, Any] = {"method": "central", "silos": SILOS, "plan_id": "p", "epsilon": 10.0}
    return new_plan(made_schema(), delta=1e-6, **(asked | changes))


@cache
def whole_run(trust: str) -> State:
    """Return one run a trust, which several tests look at."""
    with TemporaryDirectory() as place:
        plan = made_plan(trust=trust, rows_per_person=2)
        tables = {name: made_table(i) for i, name in enumerate(SILOS)}
        return run_silos(Path(place), plan, schema=made_schema(), tables=tables)


def noise_of(state: State, phase: PhaseName) -> np.ndarray:
    """Return what was released less the exact sum, in standard deviations that the plan states."""
    plan, schema, released = state.plan, state.table, state.measured()[phase][0]
    assert plan.central is not None
    central = central_map(plan.central, schema=schema)
    step = ask_phase(PhaseName.AROUND, state.known()).central
    assert isinstance(step, CentralStep)
    exact = np.zeros(len(released.values))
    for seed in range(len(SILOS)):
        codes = Codec(schema).encode(made_table(seed)).codes
        if phase is PhaseName.CENTRAL:
            exact += sum_images(central, codes)
        else:
            exact += sum_around(central, codes, step=step)
    deviation = float(len(SILOS) * plan.phase(phase).sigma2 / plan.shares) ** 0.5
    noise: np.ndarray = (released.values - exact) / deviation
    return noise


@pytest.mark.parametrize("trust", ["own", "shared"])
@statistical(alarm=1e-9, cases=2)
def test_the_noise_is_the_stated_one_over_what_an_oracle_sums(trust: str) -> None:
    state = whole_run(trust)
    noise = np.concatenate([noise_of(state, phase) for phase in IMAGES])
    check_noise(noise, alarm=5e-10, off=Fraction(40, 100))


def test_silos_charge_the_norm_that_a_person_can_add() -> None:
    state = whole_run("own")
    for number, name in enumerate(IMAGES, start=1):
        phase = state.plan.phase(name)
        norm = 2 * phase.bound
        for receipts in state.receipts().values():
            assert receipts[number].cost_units == rho_units(Fraction(norm**2) / (2 * phase.sigma2))


def test_the_certificate_follows_from_the_norms() -> None:
    plan = made_plan(epsilon=1.0)
    assert plan.central is not None
    certificate = certify_plan(plan)
    check_certificate(certificate)
    assert 0.98 * plan.privacy.epsilon < certificate.epsilon <= plan.privacy.epsilon
    stated = {phase.name: phase.bound for phase in certificate.phases}
    assert stated == {"one-way": 1} | plan.central.bounds
    counts, central, around = certificate.phases
    forged = central.model_copy(update={"bound": central.bound // 2})
    with pytest.raises(InvalidPlan):
        check_certificate(certificate.model_copy(update={"phases": (counts, forged, around)}))


@pytest.mark.parametrize("phase", [0, 1, 2])
def test_a_plan_that_states_another_norm_is_refused(phase: int) -> None:
    data = made_plan().model_dump(mode="json")
    data["phases"][phase]["bound"] = 2
    with pytest.raises(InvalidPlan, match="must have bound"):
        parse_plan(data)


def test_central_images_belong_to_their_method() -> None:
    data = made_plan().model_dump(mode="json")
    with pytest.raises(InvalidPlan, match="central needs it"):
        parse_plan({k: v for k, v in data.items() if k != "central"})
    other = new_plan(made_schema(), epsilon=1, delta=1e-6, silos=SILOS, method="one-shot")
    stored = other.model_dump(mode="json")
    assert "central" not in stored
    with pytest.raises(InvalidPlan, match="central needs it"):
        parse_plan(stored | {"central": data["central"]})
    two = made_plan().model_dump(mode="json")
    two["phases"][2]["marginals"] = 2
    with pytest.raises(InvalidPlan, match="asks for one sum"):
        parse_plan(two)


@pytest.mark.parametrize(
    "change", [{"pixels": 24}, {"blocks": 24}, {"side": 2}, {"label": None}], ids=str
)
def test_a_plan_that_miscounts_its_pixels_is_no_plan_of_the_schema(change: dict[str, Any]) -> None:
    data = made_plan().model_dump(mode="json")
    with pytest.raises(InvalidPlan, match="make the plan again"):
        check_plan(parse_plan(data | {"central": data["central"] | change}), made_schema())


def _asked(plan: Plan, **changes: Any) -> dict[str, Any]:
    names = list(made_schema().domain.attributes)
    request = {"plan_digest": plan.digest, "phase": "around", "silo": "north"}
    central = {"centres": [[0] * SIDE**2] * 3, "radius": 100}
    return request | {"queries": [[names, "fine"]], "central": central} | changes


def test_a_request_that_is_not_the_plans_is_refused_before_anything_is_read() -> None:
    plan, domain = made_plan(), made_schema().domain
    right = _asked(plan)
    cells = count_cells(Request.model_validate(right), plan=plan, counted=domain)
    assert cells == (3 * (25 + 25 * 26 // 2),)
    for wrong in (
        {"central": None},
        {"phase": "central"},
        {"central": right["central"] | {"radius": 0}},
        {"central": right["central"] | {"centres": [[257] * SIDE**2] * 3}},
        {"central": right["central"] | {"radius": 2**20 + 1}},
        {"levels": {"one": {"kind": [0, 0, 0]}}, "queries": [[right["queries"][0][0], "one"]]},
    ):
        with pytest.raises(ValueError, match=r"central|radius|levels"):
            Request.model_validate(right | wrong)
    few = right | {"central": right["central"] | {"centres": [[0] * SIDE**2]}}
    with pytest.raises(InvalidPlan, match="1 central images for 3 classes"):
        count_cells(Request.model_validate(few), plan=plan, counted=domain)


def test_a_silo_is_told_what_leaves_and_how_far_a_row_moves_it() -> None:
    said = " ".join(plan_words(plan_facts(made_plan()) | {"coordinator": "hub", "digest": "d"}))
    assert "one noised sum of its rows' pictures, and one of how they differ from that" in said
    assert "whole pictures of 25 pixels, by class of 'kind'" in said
    assert "a row adds at most 256 in L2 norm" in said
    assert "a row adds at most 463,410 in L2 norm" in said


def test_what_is_drawn_is_what_the_classes_look_like() -> None:
    rows = draw(finish(whole_run("shared")).sampler, rows=2000, seed=1, threads=1)
    kinds = np.array(rows["kind"].to_pylist())
    assert np.mean(kinds == "none") < 0.02
    drawn = np.stack([rows[n].to_numpy() for n in PIXELS], axis=1)
    real = pa.concat_tables([made_table(i) for i in range(3)])
    true = np.stack([real[n].to_numpy() for n in PIXELS], axis=1)
    for kind in ("bar", "dot"):
        mean = true[np.array(real["kind"].to_pylist()) == kind].mean(axis=0)
        assert np.abs(drawn[kinds == kind].mean(axis=0) - mean).max() < 0.5


def _many_classes(number: int, *, side: int) -> Schema:
    """Return pictures of two colours by so many classes."""
    names = [f"p{i:02d}" for i in range(side**2)]
    pixel = {"kind": "integer", "minimum": 0, "maximum": 1, "source": "public"}
    classes = [f"c{i}" for i in range(number)]
    kind = {"kind": "categorical", "categories": classes, "other": False, "source": "public"}
    image = {"name": "shown", "width": side, "height": side, "attributes": names}
    attributes = [*({"name": n} | pixel for n in names), {"name": "kind"} | kind]
    schema = {"name": "s", "label": "kind", "attributes": attributes, "images": [image]}
    return parse_schema(schema)


def test_a_plan_of_more_classes_than_a_request_names_is_refused_before_anything_is_spent() -> None:
    asked: dict[str, Any] = {"method": "central", "silos": SILOS, "epsilon": 10.0, "delta": 1e-6}
    with pytest.raises(InvalidPlan, match="laws of 3000 classes over 3008 codes are too many"):
        new_plan(_many_classes(3000, side=2), **asked)
    many = _many_classes(MOST_CLASSES + 1, side=2)
    with pytest.raises(CapExceeded, match="4097 classes; at most 4096"):
        new_plan(many, **asked)
    data = made_plan().model_dump(mode="json")
    stated = {"central": {"pixels": 4, "side": 1, "blocks": 4, "label": "kind"}}
    with pytest.raises(CapExceeded, match="4097 classes; at most 4096"):
        check_questions(parse_plan(data | stated | {"schema_digest": many.digest}), many)


def test_the_longest_request_around_is_no_longer_than_silos_read() -> None:
    schema = _many_classes(1200, side=8)
    plan = new_plan(schema, silos=SILOS, method="central", epsilon=10.0, delta=1e-6)
    asked = {"centres": [[-256] * 64] * 1200, "radius": 2**20}
    names = list(schema.domain.attributes)
    request = Request.model_validate(_asked(plan, queries=[[names, "fine"]], central=asked))
    limit = request_limit(Policy(), plan=plan, domain=schema.domain)
    assert len(encode_request(request)) <= limit
