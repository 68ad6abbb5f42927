"""Updates survive fixed point within the stated error, and nobody moves them too far."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.errors import InvalidPlan
from silosynth.common.fixed_point import FixedPoint


def _fixed(**changes: object) -> FixedPoint:
    arguments = {"clip": 1.0, "dimension": 30, "fraction_bits": 12, "records": 50}
    return FixedPoint(**(arguments | changes))  # type: ignore[arg-type]  # test arguments


def _clipped(values: np.ndarray, clip: float) -> np.ndarray:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return values * np.minimum(1.0, clip / np.maximum(norms, 1e-300))


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(1e-3, 1e3),
    clip=st.floats(0.1, 10),
    bits=st.integers(0, 20),
)
def test_decoding_is_within_the_rounding_error(
    seed: int, scale: float, clip: float, bits: int
) -> None:
    fixed = _fixed(clip=clip, fraction_bits=bits)
    random = np.random.default_rng(seed)
    silos = [random.normal(0, scale, (20, 30)) for _ in range(3)]
    total = np.sum([fixed.encode(values) for values in silos], axis=0)
    expected = np.sum([_clipped(v, clip).sum(axis=0) for v in silos], axis=0)
    assert np.abs(fixed.decode(total) - expected).max() <= 3 * fixed.rounding_error + 1e-9 * clip


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), bits=st.integers(0, 16), dimension=st.integers(1, 40))
def test_one_person_moves_the_integers_by_at_most_the_sensitivity(
    seed: int, bits: int, dimension: int
) -> None:
    fixed = _fixed(fraction_bits=bits, dimension=dimension)
    values = np.random.default_rng(seed).normal(0, 3, (20, dimension))
    moved = fixed.encode(values) - fixed.encode(values[1:])
    assert float((moved.astype(float) ** 2).sum()) <= fixed.sensitivity**2


def test_rounding_alone_can_exceed_the_clip_so_that_it_must_be_counted() -> None:
    """The mutant: a sensitivity without the rounding term is exceeded."""
    fixed = _fixed(fraction_bits=0, dimension=100, clip=1.0)
    rest = np.full((1, 100), 0.0455)
    person = np.full((1, 100), 0.0999)
    moved = fixed.encode(np.concatenate([person, *[rest] * 9])) - fixed.encode(
        np.concatenate([rest] * 9)
    )
    assert 1.0 < float((moved.astype(float) ** 2).sum()) ** 0.5 <= fixed.sensitivity


def test_the_width_follows_from_clip_records_silos_and_noise() -> None:
    fixed = _fixed()
    assert fixed.sum_bits(silos=10, sigma2=Fraction(10**6)) == 32
    assert fixed.sum_bits(silos=10**5, sigma2=Fraction(10**6)) == 64
    assert fixed.sum_bits(silos=10, sigma2=Fraction(10**16)) == 64
    with pytest.raises(InvalidPlan, match="64 bits"):
        _fixed(fraction_bits=40, records=10**8).sum_bits(silos=1000, sigma2=Fraction(1))


@pytest.mark.parametrize(
    "changes", [{"clip": 0.0}, {"clip": float("nan")}, {"fraction_bits": 41}, {"dimension": 0}]
)
def test_settings_out_of_range_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidPlan):
        _fixed(**changes)


@pytest.mark.parametrize(
    "values", [np.zeros(30), np.zeros((51, 30)), np.zeros((1, 29)), np.full((1, 30), np.inf)]
)
def test_contributions_of_another_shape_are_refused(values: np.ndarray) -> None:
    with pytest.raises(InvalidPlan):
        _fixed().encode(values)
