"""Every number that a coordinator chooses: its range, and that the real gateway keeps to it.

The law is the table in docs/explanation/threat-model.md: it must name every number of a plan, a
request and a step towards a sum, with the range that the models have.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.common.accounting import GaussianCost, cks_epsilon, pld_epsilon
from silosynth.common.digest import digest_of
from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator import (
    FeatureSettings,
    MaskedMlp,
    Transformer,
    feature_cells,
    feature_map,
)
from silosynth.common.generator.features import quantise
from silosynth.common.messages import Answer, Refusal, Release, Request, SumStep
from silosynth.common.plan import BOUND, Plan, decode_plan, frame_weights, parse_plan
from silosynth.common.plan import budget as budget_module
from silosynth.common.roster import RosterChange
from silosynth.common.schema import parse_schema
from silosynth.common.trust import Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from tests.support.gateways.signed import Federation, people
from tests.support.tables.families import families_plan
from tests.support.tables.texts import messages

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
UNEXPECTED = "the table could not be counted"
NUMBERS = parse_schema(
    {
        "name": "paid",
        "source": "public",
        "attributes": [
            {"name": "amount", "kind": "real", "minimum": 0, "maximum": 5000, "source": "public"},
            {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "source": "public"},
            {"name": "at", "kind": "datetime", "minimum": "2023-01-01", "maximum": "2023-12-31"}
            | {"resolution": "minute", "zone": "Europe/Berlin", "source": "public"},
        ],
    }
)
_RANGE = re.compile(r"([\[(])([^,]+), ([^\])]+)([\])])")
Interval = tuple[float, bool, float, bool]


def _walk(schema: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Iterator[Any]:
    """Yield the path and the schema of every number in a JSON schema."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].rsplit("/", 1)[1]]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _walk(choice, defs, path)
    if schema.get("type") in ("integer", "number"):
        yield path, schema
    for name, value in schema.get("properties", {}).items():
        yield from _walk(value, defs, f"{path}.{name}")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _walk(schema["additionalProperties"], defs, f"{path}.*")
    for item in (
        *schema.get("prefixItems", ()),
        *([schema["items"]] if schema.get("items") else ()),
    ):
        yield from _walk(item, defs, f"{path}[]")


def _of_models() -> dict[str, list[Mapping[str, Any]]]:
    """Return the schemas of every number that a coordinator sends, by its path."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    models = (("plan", Plan), ("request", Request), ("step", SumStep), ("change", RosterChange))
    for name, model in models:
        schema = model.model_json_schema()
        for path, number in _walk(schema, schema.get("$defs", {}), name):
            found.setdefault(path, []).append(number)
    return found


def _rows() -> dict[str, tuple[str, str, str]]:
    """Return the rows of the page's table by number: range, where it is checked, tests."""
    section = PAGE.read_text().split("## Numbers that a coordinator chooses")[1].split("\n## ")[0]
    rows = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            names, allowed, checked, tests = (c.strip() for c in line.strip("|\n ").split(" | "))
            for name in re.findall(r"`([^`]+)`", names):
                assert name not in rows, f"{name} stands twice in the table"
                rows[name] = allowed, checked, tests
    return rows


def _interval(schema: Mapping[str, Any]) -> Interval | None:
    """Return the range of a number in a model; None for a few values, or none but those of code."""
    if "const" in schema or "enum" in schema:
        return None
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None or high is None:
        return None
    return float(low), "minimum" in schema, float(high), "maximum" in schema


def _stated(text: str) -> Interval | None:
    """Read a range of the page, such as ``[1, 2^40]`` or ``(0, 1)``."""
    found = _RANGE.match(text)
    if not found:
        return None
    opens, low, high, closes = found.groups()

    def number(spelled: str) -> float:
        base, _, power = spelled.replace(",", "").partition("^")
        size = float(base.removeprefix("-")) ** int(power or 1)
        return -size if base.startswith("-") else size

    return number(low), opens == "[", number(high), closes == "]"


def test_the_threat_model_names_every_number_that_a_coordinator_sends() -> None:
    sent, stated = set(_of_models()), set(_rows())
    assert sent - stated == set(), "without a row in the table"
    models = ("plan", "step", "change")
    assert {name for name in stated - sent if name.split(".")[0] in models} == set()


def test_ranges_in_the_threat_model_are_those_of_the_models() -> None:
    rows = _rows()
    for path, schemas in _of_models().items():
        intervals = {_interval(s) for s in schemas} - {None}
        if intervals:
            low = min(i[:2] for i in intervals if i)
            high = max(i[2:] for i in intervals if i)
            assert _stated(rows[path][0]) == (*low, *high), path


def test_tests_and_files_in_the_table_are_there() -> None:
    for name, (_, checked, tests) in _rows().items():
        for path in re.findall(r"`([a-z_/]+\.py)`", checked):
            assert (ROOT / path).is_file(), f"{name}: {path}"
        named = re.findall(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`", tests)
        assert named, f"{name}: no test"
        for path, test in named:
            assert f"def {test}(" in (ROOT / path).read_text(), f"{name}: {path}::{test}"


_EVALUATION = {
    "version": 1,
    "trained": "sha256:" + "0" * 64,
    "trained_units": 1000,
    "trained_epsilon": 1.0,
    "sampler": "sha256:" + "1" * 64,
    "inputs": "sha256:" + "2" * 64,
    "seed": 5,
    "rows": 2048,
    "groups": 8,
    "repeats": 1,
    "likelihood": True,
    "clip": 8,
    "bins": 8,
    "weights": [2, 2, 2, 2, 2],
}


_SERIES = {
    "version": 1,
    "name": "p",
    "epochs": 3,
    "first": "2020-01-01",
    "days": 30,
    "epoch_units": 2**50,
    "lifetime_units": 2**52,
    "epoch": 2,
    "before_units": 5,
}
_RENEWS = {"version": 1, "trained": "sha256:" + "0" * 64, "sampler": "sha256:" + "1" * 64}


def _roster(federation: Federation) -> dict[str, Any]:
    return {"roster": {"north": federation.north.public, "south": federation.south.public}}


def _plans(federation: Federation) -> dict[str, dict[str, Any]]:
    """Return plans that have every number between them, as data."""
    plans = {name: copy.deepcopy(data) for name, data in _made().items()}
    for data in plans.values():
        data["roster"] = data["roster"] | _roster(federation)["roster"]
    return plans


@cache
def _made() -> dict[str, dict[str, Any]]:
    """Return the plans without a roster, made once."""
    usual: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-6, "silos": ("north", "south")}
    usual |= {"rows_per_person": 2, "plan_id": "p"}
    sizes = {"north": 100, "south": 100}
    own = TrainingChoice(
        architecture=MaskedMlp(width=4, layers=1, views=1),
        rounds=3,
        local_steps=2,
        rate=Fraction(1, 5),
        sizes=sizes,
    )
    other = TrainingChoice(
        architecture=Transformer(width=4, layers=1, heads=2),
        rounds=2,
        rate=Fraction(1, 5),
        sizes=sizes,
    )
    made = {
        "own": new_plan(people(), method="dp-sgd", training=own, **usual),
        "shared": new_plan(people(), method="dp-sgd", training=other, trust="shared", **usual),
        "features": new_plan(people(), method="one-shot", frequencies=16, **usual),
        "projected": new_plan(people(), method="projection", **usual),
        "voted": new_plan(messages(), method="votes", vote_rounds=2, **usual),
        "weighed": new_plan(
            people(), method="aim", workload=[("age", "sex")], weights=[3], **usual
        ),
        "values": new_plan(NUMBERS, method="mst", **usual),
    }
    made["families"] = families_plan(silos=("north", "south"))
    plans = {name: plan.model_dump(mode="json") for name, plan in made.items()}
    others = {f"s{i}": SigningKey.generate().public for i in range(99)}
    whole = usual | {"silos": ("north", "south", *others), "trust": "shared"}
    many = new_plan(people(), method="independent", **whole).model_dump(mode="json")
    plans["many"] = many | {"roster": others}
    pretrained = copy.deepcopy(plans["own"])
    pretrained["training"]["architecture"] = {
        "kind": "pretrained",
        "checkpoint": "sha256:" + "0" * 64,
        "layers": [{"name": "a.b", "inputs": 8, "outputs": 8}],
        "rank": 2,
        "scale": 2.0,
        "tokens": 20,
        "table": {"kind": "masked-mlp", "width": 4, "layers": 1, "views": 1},
    }
    lacking = new_plan(
        people(), method="independent", trust="shared", lacks={"south": ("sex",)}, **usual
    ).model_dump(mode="json")
    lacking["phases"][0]["held"] = 1
    evaluates = copy.deepcopy(plans["weighed"]) | {"method": "evaluate", "workload": []}
    evaluates |= {"weights": [], "held_out": {"share": "1/10"}, "evaluation": _EVALUATION}
    evaluates["phases"] = [
        {"name": "evaluation", "marginals": 1, "cells": 9, "sigma2": str(10**12), "bound": 40_000}
    ]
    serial = new_plan(people(), method="fixed", workload=[("age", "sex")], **usual).model_dump(
        mode="json"
    ) | {"id": "p-002", "series": _SERIES, "renews": _RENEWS}
    central = copy.deepcopy(plans["projected"]) | {"method": "central", "projection": None}
    central["central"] = {"pixels": 4, "side": 1, "blocks": 4, "label": None}
    first = central["phases"][0]
    sums = {"central": 256, "around": 463_410}
    central["phases"] = [first] + [
        {"name": name, "marginals": 1, "cells": 14, "sigma2": str(10**16), "bound": bound}
        for name, bound in sums.items()
    ]
    others = {"pretrained": pretrained, "lacking": lacking, "evaluates": evaluates}
    others["central"] = {k: v for k, v in central.items() if v is not None}
    return plans | others | {"serial": serial}


def _places(data: Any, path: str, *, at: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield (container, key) of every number in plain data, and its path in the table."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(pairs):
        inner = f"{at}[]" if isinstance(data, list | tuple) else f"{at}.{key}"
        if at.endswith((".sizes", ".values")):
            inner = f"{at}.*"
        if isinstance(value, dict | list):
            yield from _places(value, path, at=inner)
        elif inner == path:
            yield data, key, inner


def _with(plan: Mapping[str, Any], path: str, value: object) -> Iterator[bytes]:
    """Yield the plan's bytes with one number replaced, once for each place of this path."""
    total = len(list(_places(json.loads(json.dumps(plan)), path, at="plan")))
    for number in range(total):
        data = json.loads(json.dumps(plan))
        container, key, _ = list(_places(data, path, at="plan"))[number]
        container[key] = value
        yield json.dumps(data).encode()


def _outside(allowed: str, *, whole: bool) -> list[object]:
    """Return numbers that a range does not hold, and what is none."""
    wrong: list[object] = [math.nan, math.inf, -math.inf, "x", [], {}, -1, -(10**40), 10**400]
    wrong += [1e308, -1e-300]
    interval = _stated(allowed)
    if interval is not None:
        low, with_low, high, with_high = interval
        down, up = (low - 1, high + 1) if whole else (low - abs(low) / 1e6, high * (1 + 1e-6))
        wrong += [down if with_low else low, up if with_high else high]
        wrong += [int(v) for v in wrong[-2:] if whole and isinstance(v, float)]
        wrong += [low + 0.5] if whole and low + 0.5 > low else []
    return [w for w in wrong if interval is None or not _holds(interval, w)]


def _holds(interval: Interval, value: object) -> bool:
    low, with_low, high, with_high = interval
    if not isinstance(value, int | float) or (isinstance(value, float) and math.isnan(value)):
        return False
    if isinstance(value, float) and value == low + 0.5 > low:
        return False
    return (value >= low if with_low else value > low) and (
        value <= high if with_high else value < high
    )


PATHS = sorted(p for p in _of_models() if p.startswith("plan."))


@pytest.mark.parametrize("path", PATHS)
def test_the_gateway_refuses_what_is_out_of_range(path: str, tmp_path: Path) -> None:
    federation = Federation(directory=tmp_path)
    allowed = _rows()[path][0]
    whole = any(s["type"] == "integer" for s in _of_models()[path])
    tried = 0
    with federation.open() as silo:
        for plan in _plans(federation).values():
            for value in _outside(allowed, whole=whole):
                for body in _with(plan, path, value):
                    sealed = seal(body, purpose=Purpose.PLAN, key=federation.hub)
                    verdict = federation.verdict(silo.gateway.propose(plan=sealed))
                    assert verdict.answer is Answer.REFUSED, (value, verdict)
                    assert verdict.message != UNEXPECTED, (value, federation.told[-1])
                    if path.startswith("plan.values."):  # this silo has no such numbers
                        with pytest.raises(InvalidPlan):
                            decode_plan(body)
                    tried += 1
        assert silo.ledger.charges() == ()
    assert tried > 0, "no plan has this number"


def _ends(allowed: str, *, whole: bool) -> list[object]:
    """Return the ends of a range, and what is next to them."""
    interval = _stated(allowed)
    if interval is None:
        return []
    low, with_low, high, with_high = interval
    if whole:
        return [int(low) + (not with_low), int(high) - (not with_high)]
    return [low if with_low else 5e-324, high if with_high else math.nextafter(high, 0)]


@pytest.mark.parametrize("path", PATHS)
def test_the_gateway_has_public_words_for_the_ends_of_every_range(
    path: str, tmp_path: Path
) -> None:
    """Approved, waiting, or refused for a stated reason: never an error that nobody foresaw."""
    federation = Federation(directory=tmp_path)
    federation.approve_none()
    allowed = _rows()[path][0]
    whole = any(s["type"] == "integer" for s in _of_models()[path])
    ends = _ends(allowed, whole=whole)
    if path.endswith((".sigma2", ".rate")):
        ends = ["1/18446744073709551615", "18446744073709551614/18446744073709551615", "1"]
        ends += [str(2**100), str(2**100 + 1), str(2**127)]
    with federation.open() as silo:
        for plan in _plans(federation).values():
            for value in ends:
                for body in _with(plan, path, value):
                    sealed = seal(body, purpose=Purpose.PLAN, key=federation.hub)
                    verdict = federation.verdict(silo.gateway.propose(plan=sealed))
                    assert verdict.message != UNEXPECTED, (value, federation.told[-1])
        assert silo.ledger.charges() == ()


DELTAS = [5e-324, 1e-300, 1e-10, 1e-6, 0.5, math.nextafter(1, 0)]
SIGMA2S = [Fraction(1, 2**64 - 1), Fraction(1, 100), Fraction(2), Fraction(2**20), Fraction(2**100)]


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("sigma2", SIGMA2S)
@pytest.mark.parametrize("sensitivity", [1, BOUND * 10**6])
def test_no_noise_and_no_delta_give_an_epsilon_that_is_no_number(
    delta: float, sigma2: Fraction, sensitivity: int
) -> None:
    """A comparison with NaN is false: a budget that is compared with one would let it pass."""
    for rate in (Fraction(1), Fraction(1, 5), Fraction(1, 2**64 - 1), 1 - Fraction(1, 2**20)):
        if rate < 1 and sigma2 < 1024:
            continue
        cost = GaussianCost(sigma2=sigma2, count=3, sensitivity=sensitivity, cells=1000, rate=rate)
        bound = cks_epsilon(cost.rho, delta)
        assert math.isfinite(bound)
        assert 0 <= pld_epsilon([cost], delta) <= bound


def test_a_plan_whose_epsilon_is_no_number_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(budget_module, "pld_epsilon", lambda *_: math.nan)
    with pytest.raises(InvalidPlan, match="its noise gives nan"):
        budget_module.check_budget(Federation(directory=tmp_path).plan())


def _plan(federation: Federation, name: str) -> Plan:
    return parse_plan(_plans(federation)[name])


@pytest.mark.parametrize("name", ["own", "shared"])
@pytest.mark.parametrize("sigma2", ["4", "1023"])
def test_training_needs_noise_beyond_the_rounding_of_its_accountant(
    name: str, sigma2: str, tmp_path: Path
) -> None:
    data = _plans(Federation(directory=tmp_path))[name]
    data["phases"][-1]["sigma2"] = sigma2
    with pytest.raises(InvalidPlan, match="noise of training is too small"):
        parse_plan(data)
    data["phases"][-1]["sigma2"] = "2047" if name == "shared" else "1024"
    if name == "shared":
        with pytest.raises(InvalidPlan, match="noise of training is too small"):
            parse_plan(data)
    else:
        parse_plan(data)


@pytest.mark.parametrize("name", ["own", "shared", "features", "weighed"])
@pytest.mark.parametrize("other", [1, 2, BOUND - 1, BOUND + 1, 2**31])
def test_a_bound_is_what_the_question_has(name: str, other: int, tmp_path: Path) -> None:
    """A plan that states less than a row can add would pay for less."""
    data = _plans(Federation(directory=tmp_path))[name]
    if data["phases"][-1]["bound"] == other:
        other = 3
    data["phases"][-1]["bound"] = other
    with pytest.raises(InvalidPlan, match="must have bound"):
        parse_plan(data)


def test_as_many_sums_are_paid_for_as_a_plan_has_steps(tmp_path: Path) -> None:
    plans = _plans(Federation(directory=tmp_path))
    for data in (plans["own"], plans["shared"]):
        data["phases"][-1]["marginals"] -= 1
        with pytest.raises(InvalidPlan, match="rounds x local_steps"):
            parse_plan(data)


def _round(plan: Plan, *, data: bytes | None = None, **changes: Any) -> bytes:
    """Return a request of a round as a coordinator without our checks writes it."""
    weights = np.zeros(plan.phases[-1].cells, dtype="<f4").tobytes() if data is None else data
    step = {"round": 0, "weights": digest_of(weights), "batch": 20} | changes
    values = {"version": 1, "plan_digest": plan.digest, "phase": "training", "silo": "north"}
    return frame_weights(json.dumps(values | {"training": step}).encode(), weights)


def _rounds(plan: Plan) -> Iterator[tuple[str, bytes]]:
    """Yield rounds that a plan does not hold."""
    cells = plan.phases[-1].cells
    for number in (-1, 3, 99_999, 100_000, 2**70, 0.5, math.nan):
        yield f"round {number}", _round(plan, round=number)
    for batch in (None, 0, -1, 2**40 + 1, 1.5, math.inf, math.nan, "x"):
        yield f"batch {batch}", _round(plan, batch=batch)
    for kind in ("<f2", "<f8", "<i8", "<c16"):
        yield f"weights of {kind}", _round(plan, data=np.zeros(cells, dtype=kind).tobytes())
    for count in (0, 1, cells - 1, cells + 1, 2 * cells):
        yield f"{count} weights", _round(plan, data=np.zeros(count, dtype="<f4").tobytes())
    for bad in (math.nan, math.inf, -math.inf, 1.001e6, -1.001e6, 3e38):
        for place in (0, cells // 2, cells - 1):
            weights = np.zeros(cells, dtype="<f4")
            weights[place] = bad
            yield f"weight {bad} at {place}", _round(plan, data=weights.tobytes())


def _counts(plan: Plan) -> Iterator[tuple[str, bytes]]:
    """Yield requests for marginals that a plan, or the table's domain, does not hold."""
    sizes = dict(zip(people().domain.attributes, people().domain.shape, strict=True))
    values: dict[str, Any] = {"version": 1, "plan_digest": plan.digest, "phase": "one-way"}
    values |= {"silo": "north", "queries": [[["age"], "working"]]}
    fine = list(range(sizes["age"]))
    for groups in (
        [],
        [0],
        [*fine, fine[-1] + 1],
        [-1, *fine[1:]],
        [1] * len(fine),
        [0, 2] * (len(fine) // 2) + [0] * (len(fine) % 2),
        [0] * (len(fine) - 1) + [2**63],
        [0] * (len(fine) - 1) + [10**30],
        [0.5] * len(fine),
        [math.nan] * len(fine),
    ):
        yield (
            f"groups {groups[:3]}",
            json.dumps(values | {"levels": {"working": {"age": groups}}}).encode(),
        )
    for queries in (
        [],
        [[[], "fine"]],
        [[["age", "sex"], "fine"]],
        [[["age"], "fine"]] * 2,
        [[["age", "age"], "fine"]],
        [[["nobody"], "fine"]],
        [[["age"], "nowhere"]],
    ):
        yield f"queries {queries}", json.dumps(values | {"queries": queries}).encode()
    proof = {"session": 1, "adverts": ["x", "x"], "votes": ["x", "x"]}
    for session in (0, 1, 2, 9, 2**70):
        yield (
            f"session {session}",
            json.dumps(
                values | {"queries": [[["age"], "fine"]], "sum": proof | {"session": session}}
            ).encode(),
        )
    for version in (0, 2, -1, 2**70, math.nan):
        yield f"version {version}", json.dumps(values | {"version": version}).encode()


@pytest.mark.parametrize("name", ["own", "weighed"])
def test_a_request_beyond_its_plan_is_refused_and_not_charged(name: str, tmp_path: Path) -> None:
    federation = Federation(directory=tmp_path)
    automatic = {"automatic": True, "max_epsilon": 2.0, "max_delta": 1e-5}
    federation.change(approval=automatic | {"methods": ["dp-sgd", "aim"]})
    plan = _plan(federation, name)
    sealed = federation.sealed(plan)
    asked = [*_counts(plan), *(_rounds(plan) if plan.training else ())]
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=sealed))
        assert verdict.answer is Answer.APPROVED, verdict
        for what, body in asked:
            request = seal(body, purpose=Purpose.REQUEST, key=federation.hub)
            refusal = federation.read(silo.gateway.answer(plan=sealed, request=request))
            assert isinstance(refusal, Refusal), what
            assert refusal.message != UNEXPECTED, (what, federation.told[-1])
            assert silo.ledger.charges() == (), what
        if plan.training:
            request = seal(_round(plan), purpose=Purpose.REQUEST, key=federation.hub)
            given = federation.read(silo.gateway.answer(plan=sealed, request=request))
            assert isinstance(given, Release), "nothing at all is answered"


@pytest.mark.parametrize("frequencies", [1, 2, 7, 16_384])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_no_frequencies_or_seed_let_a_row_move_a_sum_beyond_the_bound(
    frequencies: int, order: int, seed: int
) -> None:
    settings = FeatureSettings(frequencies=frequencies, order=order, seed=seed)
    features = feature_map(settings, schema=people(), grouping=Grouping())
    worst = 0
    for block in features.blocks:
        cells = math.prod(len(p) for p in block.phases)
        pairs = quantise(block.at(np.arange(cells)))
        worst += max(sum(int(v) ** 2 for v in cell) for cell in pairs.reshape(cells, -1))
    assert worst <= settings.bound**2


def test_features_that_need_too_much_memory_are_refused() -> None:
    domain = Domain(attributes=("a", "b"), shape=(2, 1_000_000))
    for order in (1, 2):
        settings = FeatureSettings(frequencies=16_384, order=order)
        with pytest.raises(CapExceeded, match="phases"):
            feature_cells(settings, clique=("a", "b"), domain=domain)
    small = FeatureSettings(frequencies=16_384, order=1)
    domain = Domain(attributes=("a", "b"), shape=(2, 8000))
    assert feature_cells(small, clique=("a", "b"), domain=domain) == 2 * 16_384
