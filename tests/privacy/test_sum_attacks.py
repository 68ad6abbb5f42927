"""What a malicious coordinator, or colluding silos, try against a sum, and what they get."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.client.noise import SystemBits
from silosynth.client.noise.draw import discrete_gaussian
from silosynth.client.sums import SumMember, SumStore
from silosynth.client.sums.mask import new_secret, public_of
from silosynth.common.accounting import rho_units
from silosynth.common.accounting.noise import gaussian_rho
from silosynth.common.accounting.sum_law import log_ratio
from silosynth.common.errors import (
    InvalidPlan,
    Refused,
    RequestConflict,
    SilosynthError,
    Untrusted,
)
from silosynth.common.messages import KeyAdvert, SumStep, decode_sum_statement, encode_sum_statement
from silosynth.common.plan import PhaseName, Plan, parse_plan
from silosynth.common.trust import SigningKey
from tests.privacy.sums import CELLS, Circle, circle, names, proof_of, shared_plan
from tests.support.chance import SumOfSquares, agrees, masked, statistical


def _advert(data: bytes, plan: Plan) -> KeyAdvert:
    return decode_sum_statement(data, KeyAdvert, trusted=tuple(plan.roster.values()))


def _resigned(data: bytes, plan: Plan, key: SigningKey, **changes: Any) -> bytes:
    """Return a silo's advert with changes, signed by ``key``."""
    values = _advert(data, plan).model_dump(mode="json") | changes
    return encode_sum_statement(KeyAdvert.model_validate(values), key=key)


def _own_keys(data: bytes, plan: Plan) -> dict[str, str]:
    """Return fresh keys of the attacker for the requests of an advert."""
    return {name: _text(public_of(new_secret())) for name in _advert(data, plan).keys}


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _values(silos: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, (silos, CELLS))


def _sum(vectors: list[np.ndarray]) -> np.ndarray:
    return np.sum([v.view(np.uint64) for v in vectors], axis=0, dtype=np.uint64).view(np.int64)


@pytest.fixture
def four(tmp_path: Path) -> Circle:
    return circle(tmp_path, 4)


@pytest.mark.parametrize("count", [2, 4, 12])
@statistical(alarm=1e-9, cases=3)
def test_honest_silos_sum_exactly(tmp_path: Path, count: int) -> None:
    silos = circle(tmp_path, count)
    proof, values = silos.proof(), _values(count)
    vectors = [
        silos.masked(silos.request(s, proof), v)
        for s, v in zip(silos.plan.silos, values, strict=True)
    ]
    assert np.array_equal(_sum(vectors), values.sum(axis=0))
    for vector in vectors:
        masked(vector, alarm=2e-11)


def test_keys_swapped_by_the_coordinator_are_refused(four: Circle) -> None:
    adverts = list(four.adverts())
    stranger = SigningKey.generate()
    forged = _resigned(adverts[1], four.plan, stranger, keys=_own_keys(adverts[1], four.plan))
    with pytest.raises(Untrusted):
        four.vote("silo-000", [adverts[0], forged, *adverts[2:]])


def test_a_colluder_cannot_give_keys_in_another_silos_name(four: Circle) -> None:
    adverts = list(four.adverts())
    colluder = four.keys["silo-003"]
    forged = _resigned(adverts[1], four.plan, colluder, keys=_own_keys(adverts[1], four.plan))
    with pytest.raises(Untrusted):
        four.vote("silo-000", [adverts[0], forged, *adverts[2:]])


def test_a_silo_signs_no_set_with_other_keys_of_its_own(tmp_path: Path) -> None:
    one = circle(tmp_path, 4)
    adverts = list(one.adverts())
    again = _resigned(
        adverts[0], one.plan, one.keys["silo-000"], keys=_own_keys(adverts[0], one.plan)
    )
    with pytest.raises(Untrusted, match="own keys"):
        one.vote("silo-000", [again, *adverts[1:]])


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little")])
def test_a_peers_point_of_small_order_is_refused_before_anything_is_signed(
    four: Circle, point: bytes
) -> None:
    adverts = list(four.adverts())
    names = list(_advert(adverts[1], four.plan).keys)
    keys = _own_keys(adverts[1], four.plan) | {names[-1]: _text(point)}
    bad = _resigned(adverts[1], four.plan, four.keys["silo-001"], keys=keys)
    with pytest.raises(Untrusted, match="small order"):
        four.vote("silo-000", [adverts[0], bad, *adverts[2:]])


def test_a_peer_that_copies_a_key_is_refused(four: Circle) -> None:
    adverts = list(four.adverts())
    stolen = list(_advert(adverts[0], four.plan).keys.values())
    keys = dict(zip(_advert(adverts[1], four.plan).keys, stolen, strict=True))
    copy = _resigned(adverts[1], four.plan, four.keys["silo-001"], keys=keys)
    with pytest.raises(Untrusted, match="same key"):
        four.vote("silo-002", [adverts[0], copy, *adverts[2:]])


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _respelled(key: str) -> str:
    """Return another text that a lenient reader takes for the same 32 bytes."""
    return key[:-1] + _ALPHABET[_ALPHABET.index(key[-1]) + 1]


def _ignored_bit(key: str) -> str:
    """Return the text of a key with the bit set that X25519 ignores."""
    raw = bytearray(base64.urlsafe_b64decode(key + "="))
    raw[31] |= 128
    return _text(bytes(raw))


def _beyond_the_field(_: str) -> str:
    """Return a text of the point 9, which X25519 begins at, plus the field's size."""
    return _text((2**255 - 19 + 9).to_bytes(32, "little"))


@pytest.mark.parametrize("disguise", [_respelled, _ignored_bit, _beyond_the_field])
def test_a_key_has_one_form(four: Circle, disguise: Callable[[str], str]) -> None:
    """A colluder hands in an honest silo's key in another form: masks of pairs would be equal."""
    adverts = list(four.adverts())
    stolen, own = (_advert(advert, four.plan).keys for advert in adverts[:2])
    first, place = next(iter(stolen)), next(iter(own))
    keys = own | {place: disguise(stolen[first])}
    copy = _resigned(adverts[1], four.plan, four.keys["silo-001"], keys=keys)
    with pytest.raises(Untrusted, match="not in its one"):
        four.vote("silo-002", [adverts[0], copy, *adverts[2:]])


def test_different_sets_shown_to_different_silos_are_never_masked(tmp_path: Path) -> None:
    one = circle(tmp_path, 5, absent=1, colluders=1)
    adverts = one.adverts()
    first, second = adverts[:4], (adverts[0], *adverts[2:])
    votes = [one.vote(s, first) for s in ("silo-000", "silo-001")]
    votes += [one.vote(s, second) for s in ("silo-002", "silo-003")]
    with pytest.raises(Untrusted, match="another set"):
        one.masked(one.request("silo-000", proof_of(first, votes)), _values(1)[0])


def test_a_set_that_not_all_members_signed_is_never_masked(four: Circle) -> None:
    adverts = four.adverts()
    votes = [four.vote(s, adverts) for s in four.plan.silos]
    for short in (votes[:3], [*votes[:3], votes[2]], [votes[1], votes[0], *votes[2:]]):
        with pytest.raises(Untrusted):
            four.masked(four.request("silo-000", proof_of(adverts, short)), _values(1)[0])


def test_a_silo_signs_one_set_and_after_it_only_smaller_ones(tmp_path: Path) -> None:
    one = circle(tmp_path, 5, absent=1, colluders=1)
    adverts = one.adverts()
    assert one.vote("silo-000", adverts) == one.vote("silo-000", adverts)
    smaller = one.vote("silo-000", adverts[:4])
    assert smaller == one.vote("silo-000", adverts[:4])
    for other in (adverts, (adverts[0], *adverts[2:])):
        with pytest.raises(RequestConflict):
            one.vote("silo-000", other)


def test_no_silo_is_dropped_from_a_session_to_difference_two_sums(tmp_path: Path) -> None:
    """Once a request has begun, its session's set is final: a smaller set gets no vector."""
    one = circle(tmp_path, 5, absent=1, colluders=1)
    proof, values = one.proof(), _values(5)
    one.masked(one.request("silo-000", proof), values[0])
    with pytest.raises(RequestConflict):
        one.vote("silo-000", one.adverts()[:4])
    with pytest.raises(Refused):
        one.proof(silos=names(4))


@statistical(alarm=1e-9)
def test_vectors_of_a_larger_and_a_smaller_set_do_not_cancel(tmp_path: Path) -> None:
    """Some silos mask for five, the others for four: what adds up is noise over 2^64."""
    one = circle(tmp_path, 5, absent=1, colluders=1)
    large, values = one.proof(), _values(5)
    early = one.masked(one.request("silo-000", large), values[0])
    adverts = one.adverts()[:4]
    rest = ["silo-001", "silo-002", "silo-003"]
    votes = [one.vote(s, adverts) for s in rest]
    with pytest.raises(Untrusted):
        one.masked(one.request("silo-001", proof_of(adverts, votes)), values[1])
    late = [one.masked(one.request(s, large), values[1]) for s in ("silo-004",)]
    masked(_sum([early, *late]), alarm=1e-9)


def test_a_set_too_small_for_the_noise_or_for_the_colluders_is_refused(tmp_path: Path) -> None:
    one = circle(tmp_path, 5, absent=1, colluders=2)
    adverts = one.adverts()
    with pytest.raises(Refused, match="at least 4"):
        one.vote("silo-000", adverts[:3])
    for arguments in ({"colluders": 1}, {"absent": 1}, {"colluders": 2}):
        with pytest.raises(InvalidPlan):
            shared_plan(names(2), **arguments)


def test_an_old_sessions_keys_and_votes_are_refused_when_replayed(tmp_path: Path) -> None:
    one = circle(tmp_path, 4, attempts=2)
    old, adverts = one.proof(session=1), one.adverts(session=2)
    replayed = proof_of(one.adverts(session=1), [one.vote(s, one.adverts()) for s in names(4)])
    with pytest.raises(InvalidPlan, match="another plan or session"):
        one.vote("silo-000", (one.adverts(session=1)[1], *adverts[1:]), session=2)
    moved = old.model_copy(update={"session": 2})
    with pytest.raises(InvalidPlan, match="another plan or session"):
        one.masked(one.request("silo-000", moved), _values(1)[0])
    assert replayed == old


def test_another_plans_keys_are_refused(tmp_path: Path) -> None:
    one = circle(tmp_path, 4)
    other = parse_plan(one.plan.model_dump(mode="json") | {"id": "another"})
    step = SumStep(plan_digest=other.digest, session=1)
    foreign = one.members["silo-001"].agree(other, step)
    adverts = one.adverts()
    with pytest.raises(InvalidPlan, match="another plan"):
        one.vote("silo-000", (adverts[0], foreign, *adverts[2:]))


def test_a_session_beyond_the_plans_attempts_is_refused(four: Circle) -> None:
    with pytest.raises(Refused, match="no session 2"):
        four.adverts(session=2)


def test_a_roster_with_another_key_for_this_silo_is_refused(four: Circle) -> None:
    roster = dict(four.plan.roster) | {"silo-000": SigningKey.generate().public}
    other = parse_plan(four.plan.model_dump(mode="json") | {"roster": roster})
    bare = parse_plan(four.plan.model_dump(mode="json") | {"roster": {}})
    for plan in (other, bare):
        with pytest.raises(Untrusted, match="this silo's key"):
            four.members["silo-000"].agree(plan, SumStep(plan_digest=plan.digest, session=1))


@statistical(alarm=1e-9)
def test_questions_that_differ_between_silos_add_up_to_noise(four: Circle) -> None:
    proof, values = four.proof(), _values(4)
    requests = [four.request(s, proof) for s in four.plan.silos]
    twisted = requests[0].model_copy(
        update={"queries": ((("region",), "fine"), (("age",), "fine"))}
    )
    vectors = [four.masked(r, v) for r, v in zip([twisted, *requests[1:]], values, strict=True)]
    masked(_sum(vectors), alarm=1e-9)


def test_asking_twice_makes_the_same_masks_and_after_storing_none(four: Circle) -> None:
    request, values = four.request("silo-000", four.proof()), _values(1)[0]
    first, again = (four.masked(request, values) for _ in range(2))
    assert np.array_equal(first, again)
    four.members["silo-000"].forget(four.plan, request)
    with pytest.raises(Refused, match="are gone"):
        four.masked(request, values)
    tree = four.request("silo-000", four.proof(), phase=PhaseName.TREE)
    assert not np.array_equal(four.masked(tree, values), first)


def test_masks_survive_a_restart_of_the_silo(tmp_path: Path, four: Circle) -> None:
    request, values = four.request("silo-000", four.proof()), _values(1)[0]
    first = four.masked(request, values)
    store = SumStore(tmp_path / "silo-000")
    fresh = SumMember(silo="silo-000", store=store, key=four.keys["silo-000"])
    restarted = Circle(plan=four.plan, members={"silo-000": fresh}, keys=four.keys)
    assert np.array_equal(restarted.masked(request, values), first)
    assert all(p.stat().st_mode & 0o077 == 0 for p in (tmp_path / "silo-000").iterdir())


def test_one_altered_byte_of_any_statement_is_refused(four: Circle) -> None:
    adverts = four.adverts()
    votes = [four.vote(s, adverts) for s in four.plan.silos]
    random = np.random.default_rng(5)
    for statements, index in ((list(adverts), 1), (votes, 2)):
        for place in random.integers(0, len(statements[index]), 60):
            altered = bytearray(statements[index])
            altered[place] ^= 1 << int(random.integers(0, 8))
            changed = [*statements[:index], bytes(altered), *statements[index + 1 :]]
            proof = (
                proof_of(changed, votes)
                if statements[0] == adverts[0]
                else proof_of(adverts, changed)
            )
            with pytest.raises(SilosynthError):
                four.masked(four.request("silo-000", proof), _values(1)[0])


@pytest.mark.parametrize("colluders", [0, 2])
@statistical(alarm=1e-9, cases=2)
def test_what_colluders_leave_of_the_noise_has_the_stated_variance(colluders: int) -> None:
    """t silos subtract their shares: the rest passes a two-sided test, 0.95 of it does not.

    Nor does what is left where all silos are trusted to add noise, and give shares of sigma2 / K.
    """
    plan = shared_plan(names(7), colluders=colluders, absent=1)
    phase, draws = plan.phase(PhaseName.ONE_WAY), 120_000
    share = phase.sigma2 / (7 - colluders - 1)
    assert share == phase.sigma2 / plan.shares
    shares = [discrete_gaussian(sigma2=share, count=draws, bits=SystemBits()) for _ in range(7)]
    rest = np.sum(shares[colluders:], axis=0) - shares[-1]
    # Shares this large add up to one discrete Gaussian, but for a factor below 1 + 1e-15.
    assert log_ratio(share=share, shares=plan.shares) < 1e-15
    law = SumOfSquares(count=draws, sigma2=float(phase.sigma2))
    less = {
        "0.95 of the variance": replace(law, sigma2=0.95 * law.sigma2),
        "shares of sigma2 / K": replace(law, sigma2=plan.shares / 7 * law.sigma2),
    }
    agrees(int((rest**2).sum()), law=law, mutants=less, alarm=1e-10)


def test_the_sum_is_charged_and_the_silo_alone_is_recorded(tmp_path: Path) -> None:
    one = circle(tmp_path, 7, colluders=2)
    request = one.request("silo-000", one.proof())
    share, phase = one.share(request), one.plan.phase(PhaseName.ONE_WAY)
    assert share.noise.sigma2 == phase.sigma2 / 5
    assert share.cost_units - rho_units(2 * gaussian_rho(sigma2=phase.sigma2)) in (0, 1)
    assert share.alone_units == rho_units(2 * gaussian_rho(sigma2=phase.sigma2 / 5))


def test_noise_below_one_a_silo_is_refused() -> None:
    plan = shared_plan(names(10), epsilon=50.0)
    assert min(p.sigma2 for p in plan.phases) >= 10
    phases = [p.model_dump(mode="json") for p in plan.phases]
    phases[0]["sigma2"] = str(Fraction(99, 10))
    with pytest.raises(InvalidPlan, match="below 1"):
        parse_plan(plan.model_dump(mode="json") | {"phases": phases})
