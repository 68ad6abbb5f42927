"""The four statements survive their bytes, and are taken from their makers alone."""

from __future__ import annotations

import pytest

from silosynth.common.errors import RunFailed, Untrusted
from silosynth.common.messages import (
    Acknowledgement,
    Answer,
    Bundle,
    Identity,
    Verdict,
    decode_statement,
    encode_statement,
)
from silosynth.common.trust import SigningKey

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
