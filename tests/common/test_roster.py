"""Only the right key, for the right purpose, over the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silosynth.common.errors import InvalidArgument, OutputExists, Untrusted
from silosynth.common.trust.keys import Purpose, SigningKey, check_signature
from silosynth.common.trust.seal import seal, unseal

KEY, OTHER = SigningKey.generate(), SigningKey.generate()


@given(st.binary(max_size=100))
def test_an_envelope_gives_back_its_body_and_its_maker(body: bytes) -> None:
    opened = unseal(
        seal(body, purpose=Purpose.PLAN, key=KEY), purpose=Purpose.PLAN, trusted={KEY.public}
    )
    assert (opened.body, opened.key) == (body, KEY.public)


@given(st.integers(0, 400), st.integers(1, 255))
def test_no_altered_byte_of_an_envelope_passes_as_something_else(place: int, flip: int) -> None:
    data = bytearray(seal(b"the plan", purpose=Purpose.PLAN, key=KEY))
    data[place % len(data)] ^= flip
    try:
        opened = unseal(bytes(data), purpose=Purpose.PLAN, trusted={KEY.public})
    except Untrusted:
        return
    assert opened.body == b"the plan", "only the header's spelling may differ"


def test_only_trusted_keys_open() -> None:
    with pytest.raises(Untrusted, match="not trusted"):
        unseal(
            seal(b"x", purpose=Purpose.PLAN, key=OTHER), purpose=Purpose.PLAN, trusted={KEY.public}
        )


def test_a_signature_for_one_purpose_is_none_for_another() -> None:
    signature = KEY.sign(b"x", purpose=Purpose.PLAN)
    check_signature(signature, b"x", purpose=Purpose.PLAN, trusted={KEY.public})
    with pytest.raises(Untrusted, match="does not hold"):
        check_signature(signature, b"x", purpose=Purpose.REQUEST, trusted={KEY.public})
    with pytest.raises(Untrusted, match="expected"):
        unseal(
            seal(b"x", purpose=Purpose.REQUEST, key=KEY), purpose=Purpose.PLAN, trusted={KEY.public}
        )


def test_a_borrowed_key_name_does_not_make_a_signature() -> None:
    forged = OTHER.sign(b"x", purpose=Purpose.PLAN).model_copy(update={"key": KEY.public})
    with pytest.raises(Untrusted, match="does not hold"):
        check_signature(forged, b"x", purpose=Purpose.PLAN, trusted={KEY.public})


def test_a_key_survives_its_file_and_is_kept_from_others(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    KEY.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).public == KEY.public
    assert "PRIVATE" not in repr(KEY)
    with pytest.raises(OutputExists):
        OTHER.save(path)
    path.chmod(0o640)
    with pytest.raises(InvalidArgument, match="other users"):
        SigningKey.load(path)


def test_what_is_no_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot read"):
        SigningKey.load(tmp_path / "none")
    path = tmp_path / "text"
    path.write_text("hello")
    path.chmod(0o600)
    with pytest.raises(InvalidArgument, match="no private key"):
        SigningKey.load(path)
