"""Votes leave a silo as one histogram, with the noise that its plan pays for, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.policy.file import parse_policy
from silosynth.common.accounting import rho_units
from silosynth.common.certificate import certify_plan, check_certificate
from silosynth.common.digest import canonical_json
from silosynth.common.errors import InvalidPlan, InvalidPolicy
from silosynth.common.generator import NGRAMS
from silosynth.common.generator.voting.ngrams import nearest_of
from silosynth.common.messages import Answer, Refusal, Release, Request
from silosynth.common.plan import PhaseName, Plan, parse_plan
from silosynth.common.trust import Purpose
from silosynth.common.trust.seal import seal
from silosynth.server.coordinator import Imagine, Imagined, State, encode_candidates
from silosynth.server.planning import new_plan
from tests.support.chance import statistical
from tests.support.gateways.signed import Federation
from tests.support.noised_sums import check_noise, run_silos
from tests.support.tables.canary import CANARY
from tests.support.tables.texts import messages

SILOS = ("north", "south", "west")
LONGEST = 30
WORDS = ("hello", "friend", "dinner", "winner", "call", "now", "later", "prize", "home", "free")
CANDIDATES = 400


def made_texts(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"{' '.join(rng.choice(WORDS, 3))} {rng.integers(100)}" for _ in range(count)]


def made_table(seed: int, rows: int = 20) -> pa.Table:
    kinds = np.where(np.random.default_rng(seed).random(rows) < 0.3, "spam", "ham")
    return pa.table({"kind": kinds, "text": made_texts(rows, seed)})


@cache
def made_plan(**changes: Any) -> Plan:
    asked: dict[str, Any] = {"method": "votes", "silos": SILOS, "plan_id": "p", "epsilon": 1.0}
    return new_plan(messages(), delta=1e-6, **(asked | {"candidates": CANDIDATES} | changes))


def written(asked: Imagine) -> Imagined:
    """Answer as a generator would, the same every time."""
    wanted = asked.wanted
    texts = dict.fromkeys((*wanted.kept, *made_texts(3 * len(wanted.lines), seed=7)))
    return Imagined(phase=wanted.phase, data=encode_candidates(tuple(texts)[:CANDIDATES]))


def run(place: Path, plan: Plan) -> State:
    tables = {name: made_table(i) for i, name in enumerate(plan.silos)}
    return run_silos(place, plan, schema=messages(), tables=tables, imagine=written)


@cache
def whole_run(trust: str) -> State:
    """Return one run a trust, which several tests look at."""
    with TemporaryDirectory() as place:
        plan = made_plan(trust=trust, rows_per_person=3, epsilon=3.0, vote_rounds=2)
        return run(Path(place), plan)


def exact_votes(candidates: tuple[str, ...], table: pa.Table) -> np.ndarray:
    """Return (candidates * classes,) the votes of a table, counted one row after the other."""
    from tests.common.generator.test_votes import coded

    votes = np.zeros((len(candidates), 2))
    found = nearest_of(coded(table["text"].to_pylist()), candidates)
    for place, kind in zip(found.tolist(), table["kind"].to_pylist(), strict=True):
        votes[place, ("ham", "spam").index(kind)] += place >= 0
    return votes.ravel()


def noise_of(state: State) -> np.ndarray:
    """Return what was released less the exact votes, in standard deviations of the plan's noise."""
    found = []
    for phase in (p for p in state.plan.phases if p.name in state.candidates):
        exact = sum(exact_votes(state.candidates[phase.name], made_table(i)) for i in range(3))
        deviation = float(len(SILOS) * phase.sigma2 / state.plan.shares) ** 0.5
        found.append((state.measured()[phase.name][0].values - exact) / deviation)
    noise: np.ndarray = np.concatenate(found)
    return noise


@pytest.mark.parametrize("trust", ["own", "shared"])
@statistical(alarm=1e-9, cases=2)
def test_the_noise_is_the_stated_one_over_what_an_oracle_counts(trust: str) -> None:
    noise = noise_of(whole_run(trust))
    assert len(noise) == 4 * CANDIDATES
    check_noise(noise, alarm=5e-10, off=Fraction(25, 100))


def test_silos_charge_what_a_person_s_votes_can_add() -> None:
    state = whole_run("own")
    for receipts in state.receipts().values():
        for receipt, phase in zip(receipts, state.plan.phases, strict=True):
            assert receipt.cost_units == rho_units(Fraction(9) / (2 * phase.sigma2))


def test_the_certificate_follows_from_one_vote_a_row() -> None:
    plan = made_plan()
    certificate = certify_plan(plan)
    check_certificate(certificate)
    assert 0.98 < certificate.epsilon <= 1.0
    counts, votes = certificate.phases
    assert votes.bound == 1
    forged = votes.model_copy(update={"sigma2": "100000"})
    with pytest.raises(InvalidPlan):
        check_certificate(certificate.model_copy(update={"phases": (counts, forged)}))


def test_nobody_is_held_out_of_votes_for_whom_no_evaluation_could_ask() -> None:
    with pytest.raises(InvalidPlan, match="the method votes holds nobody out"):
        made_plan(held_out="1/10")


@pytest.mark.parametrize("phase", [0, 1])
def test_a_plan_that_states_another_norm_or_more_histograms_is_refused(phase: int) -> None:
    data = made_plan().model_dump(mode="json")
    for field, words in (("bound", "must have bound"), ("marginals", "one sum")):
        changed = json.loads(json.dumps(data))
        changed["phases"][phase][field] = 2
        with pytest.raises(InvalidPlan, match=words):
            parse_plan(changed)


def test_votes_belong_to_their_method() -> None:
    data = made_plan().model_dump(mode="json")
    with pytest.raises(InvalidPlan, match="votes needs them"):
        parse_plan({k: v for k, v in data.items() if k != "votes"})
    assert "votes" not in made_plan(method="dp-sgd").model_dump(mode="json")
    with pytest.raises(InvalidPlan, match="out of range"):
        made_plan(vote_rounds=4)
    with pytest.raises(InvalidPlan, match="out of range"):
        made_plan(alphabet="runes")
    with pytest.raises(InvalidPlan, match="out of range"):
        made_plan(candidates=1)


@dataclass(kw_only=True)
class Messages(Federation):
    """One real silo of messages, whose persons have several rows."""

    rows_each: int = 5

    def __post_init__(self) -> None:
        rows = 4 * self.rows_each
        persons = [f"{CANARY}-{i % 4}" for i in range(rows)]
        texts = ["hello friend"] * (rows - 1) + [f"{CANARY} winner"]
        table = pa.table({"kind": ["ham"] * rows, "text": texts, "who": persons})
        self.make_silo(messages(), table)
        automatic = {"automatic": True, "max_epsilon": 50.0, "max_delta": 1e-5}
        self.change(approval=automatic | {"methods": ["votes"]})
        data = self.policy.model_dump(mode="json", by_alias=True)
        for section in ("datasets", "coordinators", "projects"):
            data[section] = [s | {"budget": {"epsilon": 90, "delta": 1e-6}} for s in data[section]]
        self.policy = type(self.policy).model_validate(data)

    def votes(self, **changes: Any) -> Plan:
        """Return a plan of votes for both silos, within the policy."""
        roster = {"north": self.north.public, "south": self.south.public}
        asked = {"silos": ("north", "south"), "rows_per_person": 2, "epsilon": 40.0}
        return parse_plan(
            made_plan(**asked, **changes).model_dump(mode="json") | {"roster": roster}
        )


def asked_of(plan: Plan, **changes: Any) -> Mapping[str, Any]:
    """Return a round of votes, as it is sent."""
    asked = Request(
        plan_digest=plan.digest,
        phase=PhaseName.VOTES_1,
        silo="north",
        queries=((("kind",), "fine"),),
        candidates=("hello friend", "call now"),
    ).model_dump(mode="json")
    return asked | changes


@pytest.mark.usefixtures("fixed_bits")
def test_a_person_moves_votes_by_its_rows_whatever_candidates_were_sent(tmp_path: Path) -> None:
    """Four persons of five rows each, at most two of which vote: eight votes, within the noise."""
    federation = Messages(directory=tmp_path)
    plan = federation.votes()
    deviation = float(plan.phase("votes-1").sigma2) ** 0.5
    assert deviation < 0.5
    with federation.open() as silo:
        federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        request = seal(canonical_json(asked_of(plan)), purpose=Purpose.REQUEST, key=federation.hub)
        data = silo.gateway.answer(plan=federation.sealed(plan), request=request)
        release = federation.read(data)
        assert isinstance(release, Release), release
        assert abs(int(release.marginals[0].sum()) - 8) < 24 * deviation
        assert abs(int(release.marginals[0].sum()) - 8) < 8
        assert CANARY.encode() not in data
        assert not any(CANARY in line for line in federation.told)
        phase = plan.phase("votes-1")
        assert silo.ledger.charges()[0].cost_units == rho_units(Fraction(4) / (2 * phase.sigma2))


def test_a_gateway_refuses_what_is_no_round_of_votes_and_charges_nothing(tmp_path: Path) -> None:
    federation = Messages(directory=tmp_path)
    plan = federation.votes(candidates=3, alphabet="ascii")
    wrong: dict[str, dict[str, Any]] = {
        "no candidates": {"candidates": None},
        "none of them": {"candidates": []},
        "too many": {"candidates": ["a", "b", "c", "d"]},
        "one twice": {"candidates": ["a", "a"]},
        "one too long": {"candidates": ["a" * (LONGEST + 1)]},
        "another alphabet": {"candidates": ["grüße"]},
        "control characters": {"candidates": ["a\u0000b"]},
        "a blank one": {"candidates": ["   "]},
        "an empty one": {"candidates": [""]},
        "numbers": {"candidates": [1, 2]},
        "a merge": {"levels": {"working": {"kind": [0, 0]}}, "queries": [[["kind"], "working"]]},
        "another phase": {"phase": "one-way"},
        "a round that is not planned": {"phase": "votes-2"},
        "two histograms": {"queries": [[["kind"], "fine"], [["kind"], "fine"]]},
        "the text": {"queries": [[["text"], "fine"]]},
    }
    sealed = federation.sealed(plan)
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=sealed))
        assert verdict.answer is Answer.APPROVED, verdict
        for what, change in wrong.items():
            body = canonical_json({**asked_of(plan), **change})
            request = seal(body, purpose=Purpose.REQUEST, key=federation.hub)
            refusal = federation.read(silo.gateway.answer(plan=sealed, request=request))
            assert isinstance(refusal, Refusal), what
            assert refusal.message != "the table could not be counted", what
            assert silo.ledger.charges() == (), what


@pytest.mark.parametrize("what", ["embedding", "label", "max_bytes"])
def test_a_gateway_refuses_a_plan_of_other_votes_in_one_line(what: str, tmp_path: Path) -> None:
    federation = Messages(directory=tmp_path)
    other = {"embedding": "sha256:" + "0" * 64, "label": "text", "max_bytes": LONGEST + 1}
    words = {"embedding": "policy names sha256:", "label": "one label", "max_bytes": "longer than"}
    data = federation.votes().model_dump(mode="json")
    plan = parse_plan(data | {"votes": data["votes"] | {what: other[what]}})
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert verdict.answer is Answer.REFUSED
        assert words[what] in verdict.message
        assert "\n" not in verdict.message
        assert silo.ledger.charges() == ()


def test_a_policy_names_no_embedding_that_this_silosynth_has_not(tmp_path: Path) -> None:
    federation = Messages(directory=tmp_path)
    federation.change(caps={"embedding": NGRAMS})
    data = federation.policy.model_dump(mode="json", by_alias=True)
    data["caps"]["embedding"] = "sha256:" + "1" * 64
    with pytest.raises(InvalidPolicy, match=r"embedding: sha256:1+ is none of silosynth"):
        parse_policy(data, home=tmp_path)
