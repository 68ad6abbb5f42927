"""Only releases and refusals have bytes, and damaged bytes are refused."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.errors import BudgetExceeded, RunFailed, SilosynthError, Untrusted
from silosynth.common.messages import (
    Receipt,
    Refusal,
    Release,
    decode_receipt,
    decode_release,
    digest_cells,
    encode_receipt,
    encode_refusal,
    encode_release,
    refusal_error,
)
from silosynth.common.trust import SigningKey


def _release(*marginals: list[int]) -> Release:
    arrays = tuple(np.asarray(m, dtype=np.int64) for m in marginals)
    receipt = Receipt(
        request_id="p/one-way/a",
        request_hash="sha256:" + "0" * 64,
        plan_digest="sha256:" + "1" * 64,
        silo="a",
        cells=tuple(len(a) for a in arrays),
        cells_digest=digest_cells(arrays),
        cost_units=7,
        ledger_head="h",
    )
    return Release(receipt=receipt, marginals=arrays)


@given(
    st.lists(
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9), min_size=1, max_size=5
    )
)
def test_a_release_survives_its_bytes(marginals: list[list[int]]) -> None:
    decoded = decode_release(encode_release(_release(*marginals)))
    assert isinstance(decoded, Release)
    assert [m.tolist() for m in decoded.marginals] == marginals
    assert all(m.dtype == np.int64 for m in decoded.marginals)


def _refusal(error: SilosynthError) -> Refusal:
    return Refusal(silo="a", code=error.code, message=error.message, hint=error.hint)


def test_a_refusal_comes_back_as_the_error_that_it_was() -> None:
    error = BudgetExceeded("3 units asked, 2 left", hint="ask for less")
    refusal = decode_release(encode_refusal(_refusal(error)))
    assert isinstance(refusal, Refusal)
    back = refusal_error(refusal)
    assert type(back) is BudgetExceeded
    assert str(back) == "silo a: 3 units asked, 2 left; ask for less"


def test_a_release_whose_cells_do_not_match_its_receipt_has_no_bytes() -> None:
    release = _release([1, 2])
    with pytest.raises(RunFailed, match="cells"):
        encode_release(Release(receipt=release.receipt, marginals=(np.zeros(3, np.int64),)))


def test_counts_that_are_not_int64_have_no_bytes() -> None:
    release = _release([1, 2])
    with pytest.raises(TypeError):
        encode_release(Release(receipt=release.receipt, marginals=(np.zeros(2),)))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 400), st.integers(0, 255), st.booleans())
def test_damaged_bytes_give_a_release_or_a_named_error(at: int, value: int, cut: bool) -> None:
    data = bytearray(encode_release(_release([1, 2, 3], [4])))
    at %= len(data)
    if cut:
        del data[at:]
    else:
        data[at] = value
    with suppress(RunFailed):
        decode_release(bytes(data))


def test_every_truncation_is_refused() -> None:
    data = encode_release(_release([1, 2, 3]))
    for length in range(len(data)):
        with pytest.raises(RunFailed):
            decode_release(data[:length])


def test_a_signed_answer_is_taken_from_its_silo_alone() -> None:
    ours, other = SigningKey.generate(), SigningKey.generate()
    for data in (
        encode_release(_release([1, 2], [3]), key=ours),
        encode_refusal(_refusal(BudgetExceeded("no")), key=ours),
    ):
        decode_release(data, trusted={ours.public})
        with pytest.raises(Untrusted):
            decode_release(data, trusted={other.public})
        with pytest.raises(Untrusted):
            decode_release(data.replace(b'"silo":"a"', b'"silo":"b"'), trusted={ours.public})
    with pytest.raises(Untrusted, match="is not signed"):
        decode_release(encode_release(_release([1])), trusted={ours.public})


def test_one_altered_cell_is_noticed_by_the_receipt() -> None:
    key = SigningKey.generate()
    data = bytearray(encode_release(_release([1, 2], [3]), key=key))
    data[-8] ^= 1
    with pytest.raises(RunFailed, match="not those of its receipt"):
        decode_release(bytes(data), trusted={key.public})


def test_a_receipt_can_be_checked_without_its_cells() -> None:
    key = SigningKey.generate()
    release = decode_release(encode_release(_release([1, 2]), key=key), trusted={key.public})
    assert isinstance(release, Release)
    proof = encode_receipt(release)
    assert decode_receipt(proof, trusted={key.public}) == release.receipt
    with pytest.raises(Untrusted):
        decode_receipt(proof, trusted={SigningKey.generate().public})
    with pytest.raises(RunFailed):
        decode_receipt(encode_release(_release([1, 2]), key=key), trusted={key.public})
