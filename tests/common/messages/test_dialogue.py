"""The four statements survive their bytes, and are taken from their makers alone."""

from __future__ import annotations

import pytest

from silosynth.common.certificate import certify_plan
from silosynth.common.digest import canonical_json
from silosynth.common.errors import RunFailed, Untrusted, WireVersion
from silosynth.common.messages import (
    Acknowledgement,
    Answer,
    Bundle,
    Identity,
    Result,
    Verdict,
    decode_statement,
    encode_statement,
)
from silosynth.common.messages.wire_version import (
    CHALLENGE_BYTES,
    UNTOLD,
    WIRE,
    answer_to,
    check_version,
    make_challenge,
    tell_first,
    version_in,
)
from silosynth.common.trust import SigningKey
from tests.support.tables.worlds import plan

KEY, OTHER = SigningKey.generate(), SigningKey.generate()
DIGEST = "sha256:" + "0" * 64
VERDICT = Verdict(silo="a", plan_digest=DIGEST, answer=Answer.PENDING)


def test_a_statement_survives_its_bytes_signed_and_unsigned() -> None:
    signed = encode_statement(VERDICT, key=KEY)
    assert decode_statement(signed, Verdict, trusted={KEY.public}) == VERDICT
    assert decode_statement(encode_statement(VERDICT), Verdict) == VERDICT


def test_a_statement_is_taken_from_its_maker_alone() -> None:
    signed = encode_statement(VERDICT, key=KEY)
    for data in (signed.replace(b"pending", b"refused"), encode_statement(VERDICT)):
        with pytest.raises(Untrusted):
            decode_statement(data, Verdict, trusted={KEY.public})
    with pytest.raises(Untrusted):
        decode_statement(signed, Verdict, trusted={OTHER.public})


def test_one_statement_is_not_taken_for_another() -> None:
    identity = encode_statement(Identity(silo="a", challenge="0" * 64), key=KEY)
    with pytest.raises(Untrusted, match="expected"):
        decode_statement(identity, Verdict, trusted={KEY.public})
    with pytest.raises(RunFailed, match="no valid acknowledgement"):
        decode_statement(encode_statement(VERDICT), Acknowledgement)


def test_a_bundle_splits_where_it_was_joined() -> None:
    bundle = Bundle(statement=b"abc", sampler=b"defg")
    assert Bundle.decode(bundle.encode()) == bundle
    for cut in (b"", b"\x01", bundle.encode()[:5]):
        with pytest.raises(RunFailed, match="cut off"):
            Bundle.decode(cut)


def test_a_result_holds_the_receipts_of_ten_thousand_silos_and_nothing_else_is_as_large() -> None:
    made = plan()
    receipts = {f"s{i}": ("A" * 900,) * 3 for i in range(10_000)}
    result = Result(
        plan_digest=made.digest,
        sampler_digest=DIGEST,
        certificate=certify_plan(made),
        silos=tuple(receipts),
        receipts=receipts,
    )
    data = encode_statement(result, key=KEY)
    assert len(data) > 2**24
    assert decode_statement(data, Result, trusted={KEY.public}) == result
    with pytest.raises(RunFailed, match="bytes is too large"):
        decode_statement(data, Verdict, trusted={KEY.public})


def test_a_challenge_tells_its_version_and_is_fresh() -> None:
    challenges = {make_challenge(version=7) for _ in range(50)}
    assert len({c[:28] for c in challenges}) == 50
    assert {version_in(c) for c in challenges} == {7}
    assert {len(c) for c in challenges} == {CHALLENGE_BYTES}
    assert version_in(make_challenge()) == WIRE
    assert version_in(bytes(range(32))) == UNTOLD


@pytest.mark.parametrize("version", [WIRE - 1, WIRE, WIRE + 1])
def test_neighbours_one_version_apart_speak(version: int) -> None:
    told: list[str] = []
    check_version(version, who="silo north")
    answer_to(make_challenge(version=version), tell=told.append)
    assert told == []


@pytest.mark.parametrize(("version", "side"), [(WIRE + 2, "here"), (WIRE - 2, "there")])
def test_others_are_refused_in_one_line(version: int, side: str) -> None:
    with pytest.raises(WireVersion, match=f"silo north speaks version {version} of") as raised:
        check_version(version, who="silo north")
    assert "\n" not in str(raised.value)
    assert raised.value.hint == f"upgrade silosynth {side}"


def test_a_silo_notes_a_coordinator_that_it_cannot_speak_with_and_says_its_own_version() -> None:
    told: list[str] = []
    assert answer_to(make_challenge(version=WIRE + 2), tell=told.append) == WIRE
    assert [f"the coordinator speaks version {WIRE + 2}" in line for line in told] == [True]


def test_who_knows_of_no_version_is_told_nothing_of_one() -> None:
    """A program of before refuses a statement with a word that it does not know."""
    challenge = "0" * 64
    before = Identity(silo="a", challenge=challenge, wire=answer_to(bytes(32), tell=pytest.fail))
    assert b"wire" not in encode_statement(before)
    assert decode_statement(encode_statement(before), Identity).wire == UNTOLD
    now = Identity(silo="a", challenge=challenge, wire=WIRE)
    assert decode_statement(encode_statement(now), Identity) == now


def test_a_neighbour_may_say_more_of_itself_than_is_known_here() -> None:
    said = canonical_json(
        {"version": 1, "silo": "a", "challenge": "0" * 64, "wire": WIRE + 1, "new": [1]}
    )
    assert decode_statement(said, Identity).wire == WIRE + 1
    with pytest.raises(RunFailed):
        decode_statement(canonical_json(VERDICT.facts() | {"new": 1}), Verdict)


def test_challenges_that_nobody_signs_fill_no_notes() -> None:
    noted: list[str] = []
    tell = tell_first(noted.append)
    for version in range(WIRE + 2, WIRE + 100):
        answer_to(make_challenge(version=version), tell=tell)
    assert len(noted) == 1
