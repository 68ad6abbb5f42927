"""Sums of more than a hundred silos: each masks against some others, whom nobody chooses.

What has to hold: whichever silos the plan lets collude, the honest ones hang together by masks
that no colluder knows. Then all their vectors are uniform but for the sum of all of them.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from fractions import Fraction
from itertools import combinations
from math import comb, prod

import numpy as np
import pytest

from silosynth.client.desk.facts import plan_facts
from silosynth.client.desk.plan_in_words import plan_words
from silosynth.client.sums.mask import mask_vector, peers_in, ring_of
from silosynth.client.sums.member import _transcript
from silosynth.common.errors import InvalidPlan
from silosynth.common.messages import SumProof, read_set, unpack, unpack_all
from silosynth.common.plan import PhaseName, Plan, parse_plan
from silosynth.common.plan.trust import MOST_MEMBERS, fewest_peers
from silosynth.simulations.one_process import Remembered
from tests.privacy.sums import CELLS, Circle, circle, names, shared_plan
from tests.support.chance import masked, statistical

MANY, PEERS = 103, 32


def _parted(ring: Sequence[str], *, colluders: Collection[str], peers: int) -> bool:
    """Say whether honest members fall apart once colluders are taken out, by walking the masks."""
    honest = [member for member in ring if member not in colluders]
    reached, edge = {honest[0]}, [honest[0]]
    while edge:
        for peer in peers_in(ring, own=edge.pop(), peers=peers):
            if peer not in reached and peer not in colluders:
                reached.add(peer)
                edge.append(peer)
    return len(reached) < len(honest)


def _bound(members: int, *, colluders: int, peers: int) -> Fraction:
    """Return what is proven to be no less than the chance that the honest fall apart."""
    places = prod(Fraction(max(colluders - i, 0), members - i) for i in range(peers))
    return comb(members, 2) * places


@pytest.mark.parametrize(("members", "peers"), [(7, 2), (9, 4), (11, 4), (11, 6)])
def test_the_bound_is_no_less_than_the_chance_over_all_colluders(members: int, peers: int) -> None:
    ring = names(members)
    for colluders in range(members - 1):
        sets = list(combinations(ring, colluders))
        parted = sum(_parted(ring, colluders=taken, peers=peers) for taken in sets)
        assert Fraction(parted, len(sets)) <= _bound(members, colluders=colluders, peers=peers)
        if colluders < peers:
            assert parted == 0


@pytest.mark.parametrize(
    ("members", "colluders", "peers"),
    [
        (101, 0, 32),
        (1000, 31, 32),
        (1000, 32, 32),
        (1000, 100, 40),
        (1000, 333, 82),
        (1000, 500, 126),
        (1000, 998, 1000),
        (103, 60, 62),
    ],
)
def test_peers_are_as_many_as_the_bound_needs(members: int, colluders: int, peers: int) -> None:
    assert fewest_peers(members, colluders=colluders) == peers
    assert _bound(members, colluders=colluders, peers=min(peers, members)) <= Fraction(1, 2**120)
    if peers > PEERS:
        assert _bound(members, colluders=colluders, peers=peers - 2) > Fraction(1, 2**120)


def test_as_many_colluders_as_peers_part_a_ring_and_one_less_never() -> None:
    """Even colluders that are chosen after the ring is known: the worst are two runs of them."""
    ring = ring_of(names(MOST_MEMBERS), set_digest="sha256:" + "0" * 64)
    half = PEERS // 2
    worst = [*ring[100 : 100 + half], *ring[600 : 600 + half]]
    assert _parted(ring, colluders=worst, peers=PEERS)
    for spared in (worst[0], worst[half // 2], worst[-1]):
        less = [member for member in worst if member != spared]
        assert not _parted(ring, colluders=less, peers=PEERS)
    around = peers_in(ring, own=ring[500], peers=PEERS)
    assert _parted(ring, colluders=around, peers=PEERS)
    assert not _parted(ring, colluders=around[1:], peers=PEERS)


def test_a_third_of_a_thousand_leaves_the_others_together() -> None:
    peers = fewest_peers(MOST_MEMBERS, colluders=333)
    for seed in range(20):
        ring = ring_of(names(MOST_MEMBERS), set_digest=f"sha256:{seed:064x}")
        colluders = set(random.Random(seed).sample(ring, 333))
        assert not _parted(ring, colluders=colluders, peers=peers)


@pytest.mark.parametrize("peers", [None, 2, 32, 98, 102, 500])
def test_whom_a_silo_masks_against_masks_against_it(peers: int | None) -> None:
    ring = ring_of(names(MANY), set_digest="sha256:" + "1" * 64)
    chosen = {own: peers_in(ring, own=own, peers=peers) for own in ring}
    for own, others in chosen.items():
        assert len(set(others)) == len(others) == min(peers or MANY, MANY - 1)
        assert own not in others
        assert all(own in chosen[other] for other in others)


def _stated(plan: Plan, **changes: object) -> Plan:
    return parse_plan(plan.model_dump(mode="json") | changes)


def test_a_plan_cannot_have_fewer_peers_than_its_colluders_allow() -> None:
    plan = shared_plan(names(MANY), colluders=60)
    assert plan.peers == fewest_peers(MANY, colluders=60) > PEERS
    assert _stated(plan, peers=plan.peers + 2).peers == plan.peers + 2
    for peers in (None, 2, plan.peers - 2, plan.peers - 1, plan.peers + 1):
        with pytest.raises(InvalidPlan, match="peers: an even number, 62 or more"):
            _stated(plan, peers=peers)
    with pytest.raises(InvalidPlan, match="peers: an even number, 64 or more"):
        _stated(plan, colluders=62)


def test_silos_that_may_stay_away_count_as_away() -> None:
    """The coordinator says who is missing: all of them may be honest."""
    all_there, fewer = (shared_plan(names(200), colluders=66, absent=a) for a in (0, 90))
    assert all_there.peers is not None
    assert fewer.peers == fewest_peers(110, colluders=66) > all_there.peers


@pytest.mark.parametrize(("colluders", "early"), [(20, False), (66, True)])
def test_who_decides_is_told_when_colluders_must_have_been_chosen(
    colluders: int, early: bool
) -> None:
    """With as many peers as colluders or fewer, those chosen later may be all of one silo's."""
    plan = shared_plan(names(200), colluders=colluders)
    told = " ".join(plan_words(plan_facts(plan) | {"coordinator": "ours"}))
    assert f"at most {colluders} silos work with the coordinator" in told
    assert ("(before a sum's keys are sent)" in told) is early


def test_up_to_a_hundred_mask_against_all() -> None:
    plan = shared_plan(names(100))
    assert plan.peers is None
    assert "peers" not in plan.model_dump(mode="json")
    with pytest.raises(InvalidPlan, match="peers: up to 100 silos, all are"):
        _stated(plan, peers=32)
    with pytest.raises(InvalidPlan, match="2 to 1000"):
        shared_plan(names(1001))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Circle:
    return circle(tmp_path_factory.mktemp("many"), MANY, once=Remembered(), absent=1, colluders=2)


@pytest.fixture(scope="module")
def proof(many: Circle) -> SumProof:
    return many.proof()


def _ring(many: Circle, adverts: Sequence[bytes]) -> tuple[str, ...]:
    agreed = read_set(adverts, plan=many.plan, session=1)
    return ring_of(agreed.members, set_digest=agreed.digest)


def test_many_silos_sum_exactly(many: Circle, proof: SumProof) -> None:
    values = np.random.default_rng(0).integers(0, 1000, (MANY, CELLS))
    vectors = [
        many.masked(many.request(s, proof), v).view(np.uint64)
        for s, v in zip(many.plan.silos, values, strict=True)
    ]
    assert np.array_equal(np.sum(vectors, axis=0, dtype=np.uint64), values.sum(axis=0))


def test_every_set_has_a_ring_of_its_own(many: Circle, proof: SumProof) -> None:
    """A coordinator that drops a silo, or whose colluder changes its keys, cannot keep an order."""
    adverts = unpack_all(proof.adverts)
    ring, smaller = _ring(many, adverts), _ring(many, adverts[:-1])
    assert set(ring) == set(many.plan.silos)
    assert list(ring) != sorted(ring)
    assert [member for member in ring if member in smaller] != list(smaller)


@statistical(alarm=1e-9)
def test_a_silo_is_opened_by_all_of_its_peers_and_not_by_all_but_one(
    many: Circle, proof: SumProof
) -> None:
    own = many.plan.silos[7]
    request = many.request(own, proof)
    agreed = read_set(unpack_all(proof.adverts), plan=many.plan, session=1)
    record = many.members[own]._store.load(many.plan.digest, 1)
    assert record is not None
    values = np.arange(CELLS, dtype=np.int64)
    vector = many.masked(request, values).view(np.uint64)

    def known(peers: Sequence[str]) -> np.ndarray:
        """Return (CELLS,) uint64: the masks that these peers share with the silo."""
        return mask_vector(
            np.zeros(CELLS, dtype=np.int64),
            bits=64,
            own=own,
            secret=unpack(record.secrets[request.key_id]),
            peers={p: agreed.key(p, PhaseName.ONE_WAY) for p in peers},
            transcript=_transcript(request, agreed=agreed, bits=64),
        )

    peers = peers_in(_ring(many, unpack_all(proof.adverts)), own=own, peers=many.plan.peers)
    assert np.array_equal(vector - known(peers), values.astype(np.uint64))
    masked(vector - known(peers[1:]), alarm=5e-10)
    others = [silo for silo in many.plan.silos if silo not in (own, peers[0])]
    masked(vector - known(others), alarm=5e-10)


@statistical(alarm=1e-9)
def test_honest_silos_that_never_answer_keep_the_sum_of_the_others_secret(
    many: Circle, proof: SumProof
) -> None:
    """The coordinator asks all but one silo, whose peers' masks then do not cancel."""
    zeros = np.zeros(CELLS, dtype=np.int64)
    asked = many.plan.silos[1:]
    vectors = [many.masked(many.request(s, proof), zeros).view(np.uint64) for s in asked]
    total: np.ndarray = np.sum(vectors, axis=0, dtype=np.uint64)
    masked(total, alarm=1e-9)
