"""Masks cancel in the sum to the last bit, and hide everything else."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from silosynth.client.sums.mask import add_stream, mask_vector, new_secret, pair_key, public_of
from silosynth.common.errors import InvalidPlan, Untrusted

SMALL_ORDER = (
    bytes(32),
    (1).to_bytes(32, "little"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
)
"""RFC 7748, section 6.1, and the list of Bernstein, 'Curve25519: validate public keys?'."""

FIXED_SECRETS = [bytes([i]) * 32 for i in (1, 2, 3)]


def _masked_all(
    values: np.ndarray, *, bits: int, transcript: bytes = b"t", secrets: list[bytes] | None = None
) -> np.ndarray:
    """Return every silo's masked vector, one a row."""
    names = [f"silo-{i}" for i in range(len(values))]
    private = secrets or [new_secret() for _ in names]
    public = {n: public_of(s) for n, s in zip(names, private, strict=True)}
    return np.stack(
        [
            mask_vector(
                values[i],
                bits=bits,
                own=name,
                secret=private[i],
                peers={n: k for n, k in public.items() if n != name},
                transcript=transcript,
            )
            for i, name in enumerate(names)
        ]
    )


@settings(max_examples=25, deadline=None)
@given(
    silos=st.integers(2, 8),
    cells=st.integers(1, 300),
    bits=st.sampled_from([32, 64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_sum_is_exact_to_the_last_bit(silos: int, cells: int, bits: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(-(2**27), 2**27, (silos, cells))
    masked = _masked_all(values, bits=bits)
    total = masked.sum(axis=0, dtype=masked.dtype).view(f"<i{bits // 8}")
    assert np.array_equal(total, values.sum(axis=0))


def test_a_hundred_silos_sum_exactly_and_wrap_at_the_ends() -> None:
    values = np.full((100, 3), -(2**62) // 100, dtype=np.int64)
    values[0] = [2**63 - 1, -(2**63), 5]
    masked = _masked_all(values, bits=64)
    expected = [sum(int(v) for v in column) % 2**64 for column in values.T]
    assert [int(v) for v in masked.sum(axis=0, dtype=np.uint64)] == expected


def test_blocks_of_the_stream_do_not_repeat() -> None:
    words = np.zeros(200_000, dtype="<u8")
    add_stream(words, key=bytes(32), subtract=False)
    assert len(np.unique(words)) == len(words)
    again = words.copy()
    add_stream(again, key=bytes(32), subtract=True)
    assert not again.any()


@pytest.mark.parametrize("bits", [32, 64])
def test_a_masked_vector_looks_uniform(bits: int) -> None:
    """Every byte of the words is uniform, and no byte tells of its neighbours: chi-square.

    Of fixed secrets, so that there is one outcome: that secrets are random is asked elsewhere.
    """
    values = np.zeros((3, 1 << 17), dtype=np.int64)
    for vector in _masked_all(values, bits=bits, secrets=FIXED_SECRETS):
        octets = vector.view(np.uint8).reshape(len(vector), bits // 8)
        for column in octets.T:
            assert _chi2(np.bincount(column, minlength=256)) > 1e-6
        pairs = octets[:, 0].astype(int) * 256 + octets[:, -1]
        assert _chi2(np.bincount(pairs, minlength=65536)) > 1e-6
        set_bits = int(np.unpackbits(octets).sum())
        count = len(vector) * bits
        assert abs(set_bits - count / 2) < 5 * (count / 4) ** 0.5


def test_the_uniformity_test_sees_a_mask_that_leaves_the_top_bit_alone() -> None:
    values = np.zeros((2, 1 << 17), dtype=np.int64)
    vector = _masked_all(values, bits=64, secrets=FIXED_SECRETS[:2])[0] >> np.uint64(1)
    assert _chi2(np.bincount(vector.view(np.uint8)[7::8], minlength=256)) < 1e-6


def test_two_requests_never_share_a_mask() -> None:
    secrets = [new_secret(), new_secret()]
    values = np.zeros((2, 500), dtype=np.int64)
    seen = [
        _masked_all(values, bits=64, transcript=t, secrets=s)
        for t, s in ((b"a", secrets), (b"b", secrets), (b"a", None))
    ]
    flat = np.concatenate([m[0] for m in seen])
    assert len(np.unique(flat)) == len(flat)


def test_pairs_have_keys_of_their_own_even_where_a_peer_copies_a_key() -> None:
    private, copied = X25519PrivateKey.generate(), public_of(new_secret())
    keys = {
        pair_key(own="a", private=private, peer=peer, public=copied, transcript=b"t")
        for peer in ("b", "c", "bb")
    }
    assert len(keys) == 3


@pytest.mark.parametrize("point", SMALL_ORDER, ids=range(len(SMALL_ORDER)))
def test_a_point_of_small_order_is_refused(point: bytes) -> None:
    private = X25519PrivateKey.generate()
    with pytest.raises(Untrusted, match="small order"):
        pair_key(own="a", private=private, peer="b", public=point, transcript=b"t")


def test_a_silo_does_not_mask_against_itself_or_to_another_width() -> None:
    secret = new_secret()
    for bits, peers in ((64, {"a": public_of(secret)}), (16, {})):
        with pytest.raises(InvalidPlan):
            mask_vector(
                np.zeros(1, dtype=np.int64),
                bits=bits,
                own="a",
                secret=secret,
                peers=peers,
                transcript=b"t",
            )


def _chi2(counts: np.ndarray) -> float:
    """Return the p-value of a uniform law."""
    expected = counts.sum() / len(counts)
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1))
