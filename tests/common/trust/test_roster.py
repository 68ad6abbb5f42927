"""Only the right key, for the right purpose, over the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from silosynth.common.errors import InvalidArgument, OutputExists, Untrusted
from silosynth.common.trust import (
    PublicKey,
    Purpose,
    Signature,
    SigningKey,
    check_signature,
    plain_bytes,
    plain_text,
    unseal,
    url_bytes,
    url_text,
)
from silosynth.common.trust.seal import seal

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


# One spelling


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def other_spellings(text: str, *, spare_bits: int) -> list[str]:
    """Return the other texts that a lenient reader of base64 takes for the same bytes."""
    place = _ALPHABET.index(text[-1])
    first = place >> spare_bits << spare_bits
    others = [_ALPHABET[n] for n in range(first, first + 2**spare_bits) if n != place]
    return [text[:-1] + c for c in others]


@given(st.binary(max_size=100))
def test_bytes_have_one_text(raw: bytes) -> None:
    assert url_bytes(url_text(raw)) == raw
    assert plain_bytes(plain_text(raw)) == raw
    spare = {1: 4, 2: 2}.get(len(raw) % 3)
    if spare is None:
        return
    for other in other_spellings(url_text(raw), spare_bits=spare):
        with pytest.raises(ValueError, match="spelling"):
            url_bytes(other)


@pytest.mark.parametrize("text", ["A", "AA=", "AA==", " AA", "AA\n", "A+", "A/", "Ä", "AA AA"])
def test_what_is_not_url_safe_base64_is_no_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        url_bytes(text)


@pytest.mark.parametrize("text", ["AB==", "AA", "AA=", "A-==", "AA==\n", "AAB=", "A A==", "===="])
def test_what_is_not_plain_base64_is_no_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        plain_bytes(text)


def test_a_key_has_one_text() -> None:
    keys = TypeAdapter(PublicKey)
    assert keys.validate_python(KEY.public) == KEY.public
    for other in other_spellings(KEY.public, spare_bits=2):
        with pytest.raises(ValidationError, match="no public key"):
            keys.validate_python(other)
    for other in (KEY.public + "\n", KEY.public + "=", KEY.public.upper()):
        with pytest.raises(ValidationError):
            keys.validate_python(other)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("beyond", [0, 1, 18])
def test_a_key_is_a_point_in_its_one_form(sign: int, beyond: int) -> None:
    raw = (2**255 - 19 + beyond + sign * 2**255).to_bytes(32, "little")
    with pytest.raises(ValidationError, match="one form"):
        TypeAdapter(PublicKey).validate_python(f"ed25519:{url_text(raw)}")


def test_a_signature_has_one_text() -> None:
    signature = KEY.sign(b"x", purpose=Purpose.PLAN)
    for other in other_spellings(signature.value, spare_bits=4):
        with pytest.raises(ValidationError):
            Signature(key=signature.key, value=other)
    for wrong in (signature.value[:-1], signature.value + "A", signature.value + "=="):
        with pytest.raises(ValidationError):
            Signature(key=signature.key, value=wrong)


def test_an_envelope_has_one_spelling() -> None:
    data = seal(b"x", purpose=Purpose.PLAN, key=KEY)
    start = data.index(b"{")
    header = data[start : data.rindex(b"}") + 1]
    for other in (header.replace(b":", b": ", 1), header.replace(b"{", b"{ ", 1)):
        respelled = (
            data[: start - 4]
            + len(other).to_bytes(4, "little")
            + other
            + data[start + len(header) :]
        )
        with pytest.raises(Untrusted, match="spelling"):
            unseal(respelled, purpose=Purpose.PLAN, trusted={KEY.public})
