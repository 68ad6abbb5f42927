"""Masks belong to one set of silos and one width: those of two sets never cancel.

A silo masks for one set alone, which other checks see to. These tests ask what is left where those
fail: here a member masks for any set that it is handed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from silosynth.client.sums.mask import mask_vector
from silosynth.client.sums.member import _transcript
from silosynth.common.digest import canonical_json, digest_of
from silosynth.common.errors import Refused
from silosynth.common.messages import (
    AgreedSet,
    Request,
    SumProof,
    encode_request,
    read_set,
    unpack,
)
from silosynth.common.messages.proof import proof_json
from silosynth.common.plan import PhaseName
from tests.privacy.sums import CELLS, Circle, circle, proof_of
from tests.support.chance import masked, statistical

LAST = "silo-004"


@pytest.fixture
def five(tmp_path: Path) -> Circle:
    return circle(tmp_path, 5, absent=1, colluders=1)


@pytest.fixture
def proof(five: Circle) -> SumProof:
    return five.proof()


def _sets(five: Circle) -> tuple[AgreedSet, AgreedSet]:
    """Return the set of all, and of all but the last."""
    adverts = five.adverts()
    large, small = (read_set(a, plan=five.plan, session=1) for a in (adverts, adverts[:4]))
    return large, small


def _vector(five: Circle, request: Request, agreed: AgreedSet) -> np.ndarray:
    """Return (CELLS,) uint64: a silo's masks on zeros, for a set that it may not have signed."""
    cells, _ = five.members[request.silo].mask(
        [np.zeros(CELLS, dtype=np.int64)],
        plan=five.plan,
        request=request,
        agreed=agreed,
        share=five.share(request),
    )
    return np.concatenate(cells).view(np.uint64)


def _pair(five: Circle, request: Request, peer: str, agreed: AgreedSet) -> np.ndarray:
    """Return (CELLS,) uint64: what a silo adds or subtracts for one peer."""
    record = five.members[request.silo]._store.load(five.plan.digest, 1)
    assert record is not None
    return mask_vector(
        np.zeros(CELLS, dtype=np.int64),
        bits=64,
        own=request.silo,
        secret=unpack(record.secrets[request.key_id]),
        peers={peer: agreed.key(peer, PhaseName.ONE_WAY)},
        transcript=_transcript(request, agreed=agreed, bits=64),
    )


def _total(vectors: Sequence[np.ndarray]) -> np.ndarray:
    return np.sum(vectors, axis=0, dtype=np.uint64)


def test_masks_of_one_set_cancel(five: Circle, proof: SumProof) -> None:
    for agreed in _sets(five):
        vectors = [_vector(five, five.request(s, proof), agreed) for s in agreed.members]
        assert not _total(vectors).any()


@statistical(alarm=1e-9)
def test_a_colluder_cannot_make_masks_of_two_sets_cancel(five: Circle, proof: SumProof) -> None:
    """One silo masks for five, three for four; the fifth takes its own masks off the first."""
    large, small = _sets(five)
    first, *others = (five.request(s, proof) for s in small.members)
    mixed = [_vector(five, first, large), *(_vector(five, r, small) for r in others)]
    for agreed in (large, small):
        own = _pair(five, five.request(LAST, proof), first.silo, agreed)
        masked(_total([*mixed, own]), alarm=5e-10)


@statistical(alarm=1e-9)
def test_two_vectors_of_a_silo_differ_in_more_than_one_pairs_mask(
    five: Circle, proof: SumProof
) -> None:
    large, small = _sets(five)
    first = five.request(small.members[0], proof)
    difference = _vector(five, first, large) - _vector(five, first, small)
    masked(difference - _pair(five, first, LAST, large), alarm=1e-9)


def test_a_set_smaller_than_the_noise_needs_is_refused(tmp_path: Path) -> None:
    """Of six silos one may stay away; four have honest silos enough, and noise too little."""
    six = circle(tmp_path, 6, absent=1, colluders=1)
    with pytest.raises(Refused, match="at least 5"):
        six.vote("silo-000", six.adverts()[:4])


def test_a_silo_masks_for_the_set_that_it_signed_last_alone(five: Circle, proof: SumProof) -> None:
    """All have signed both sets; once a silo has signed the smaller one, it masks for no other."""
    adverts = five.adverts()[:4]
    smaller = proof_of(adverts, [five.vote(s, adverts) for s in five.plan.silos[:4]])
    zeros = np.zeros(CELLS, dtype=np.int64)
    with pytest.raises(Refused, match="did not sign that set"):
        five.masked(five.request("silo-000", proof), zeros)
    assert len(five.masked(five.request("silo-000", smaller), zeros)) == CELLS


def test_what_masks_depend_on_differs_by_set_question_and_width(
    five: Circle, proof: SumProof
) -> None:
    request = five.request(LAST, proof)
    other = request.model_copy(update={"queries": ((("age",), "fine"),)})
    another = read_set(five.adverts()[1:], plan=five.plan, session=1)
    texts = {
        _transcript(asked, agreed=agreed, bits=bits)
        for asked in (request, other)
        for agreed in (*_sets(five), another)
        for bits in (64, 32)
    }
    assert len(texts) == 12


def test_a_request_with_its_proof_has_its_canonical_bytes(five: Circle, proof: SumProof) -> None:
    """The proof's text is made once for all silos, and stands in each request as if made there."""
    request = five.request(LAST, proof)
    whole = canonical_json(request.model_dump(mode="json"))
    assert encode_request(request) == whole
    assert request.digest == digest_of(whole)


def test_one_proof_is_kept_and_no_more(proof: SumProof) -> None:
    """Whoever sends a gateway requests that nobody approved fills no memory with them."""
    for session in (1, 2, 3):
        proof_json(proof.model_copy(update={"session": session}))
    assert proof_json.cache_info().currsize == 1
