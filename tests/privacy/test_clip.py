"""One row more moves the sum by at most the bound: for every clip there is, and all weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from silosynth.client.learning import clip as clip_module
from silosynth.client.learning import gradient as gradient_module
from silosynth.client.learning import train_round
from silosynth.client.learning.clip import add_clipped, exact_sum, is_within
from silosynth.client.learning.gradient import Gradients, add_clipped_there
from silosynth.client.source import People
from silosynth.common.codec import Layout, layout_of
from silosynth.common.errors import InvalidTable
from silosynth.common.generator import Architecture, MaskedMlp, Transformer, bias_slices
from silosynth.common.plan import BOUND, LARGEST_WEIGHT, Plan, gradient_unit
from tests.privacy.learners import (
    ConstantBits,
    round_request,
    shared_plan,
    training_plan,
    wide_schema,
)

TABLE = Layout(attributes=("a", "b", "c"), sizes=(3, 5, 4), vocabularies=(0, 1, 2), free=3)
NETWORKS: list[Architecture] = [
    MaskedMlp(width=4, layers=1, views=2),
    Transformer(width=4, layers=1, heads=2),
]
SMALLEST = 5e-324
HARD_CLIPS = (SMALLEST, 1e-310, 1e-45, 1e-38, 1e-37, 1.2e-35, 1e-30, 1e-25, 1e-20, 1e-6, 1.0, 1e6)
CLIPS = st.one_of(st.sampled_from(HARD_CLIPS), st.floats(SMALLEST, 1e6))
MAGNITUDES = (0.0, 1e-45, 1e-38, 1e-30, 1e-25, 1e-20, 1e-9, 1.0, 1e4, 1e19, 3e38, np.inf, np.nan)
WEIGHT_SIZES = (0.0, 1e-45, 1e-40, 1e-30, 1e-20, 1e-3, 1.0, 1e4, LARGEST_WEIGHT)


def _norm2(values: np.ndarray) -> int:
    return sum(int(v) ** 2 for v in values)


def _here(parts: Sequence[np.ndarray], *, clip: float, total: np.ndarray) -> int:
    return add_clipped([part.copy() for part in parts], clip=clip, total=total)


def _there(parts: Sequence[np.ndarray], *, clip: float, total: np.ndarray) -> int:
    sent = [torch.from_numpy(part.copy()) for part in parts]
    return add_clipped_there(sent, clip=clip, total=total)


PATHS = {"here": _here, "torch": _there}


def _summed(path: str, rows: np.ndarray, *, clip: float) -> np.ndarray:
    """Return the sum of (rows, weights) gradients, in two arrays of weights."""
    total = np.zeros(rows.shape[1], dtype=np.int64)
    try:
        if len(rows):
            PATHS[path](np.split(rows, [1], axis=1), clip=clip, total=total)
    except InvalidTable:
        pytest.fail("a row spoiled the sum of all")
    return total


@st.composite
def _gradients(draw: st.DrawFn) -> np.ndarray:
    """Draw rows whose magnitudes, from nothing to infinity, may differ from weight to weight."""
    shape = draw(st.integers(1, 6)), draw(st.integers(2, 40))
    sizes = draw(hnp.arrays(np.float64, shape, elements=st.sampled_from(MAGNITUDES)))
    units = draw(hnp.arrays(np.float64, shape, elements=st.floats(-1, 1)))
    with np.errstate(all="ignore"):
        rows: np.ndarray = (sizes * units).astype(np.float32)
    return rows


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=400, deadline=None)
@given(rows=_gradients(), clip=CLIPS)
def test_one_more_row_moves_a_sum_by_the_bound_at_most(
    path: str, rows: np.ndarray, clip: float
) -> None:
    moved = _summed(path, rows, clip=clip) - _summed(path, rows[:-1], clip=clip)
    assert _norm2(moved) <= BOUND**2
    assert np.array_equal(moved, _summed(path, rows[-1:], clip=clip)), "it depends on others"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("clip", [math.nan, math.inf, 0.0, -1.0, -math.inf])
def test_a_clip_that_is_none_moves_nothing_too_far(path: str, clip: float) -> None:
    rows = np.array([[0, 0, 0], [1e-30, 0, 1], [3e38, 1, np.nan]], dtype=np.float32)
    assert _norm2(_summed(path, rows, clip=clip)) <= (len(rows) * BOUND) ** 2
    for row in rows:
        assert _norm2(_summed(path, row[None], clip=clip)) <= BOUND**2


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("clip", [*HARD_CLIPS, 1e-28, 1e-22])
def test_rows_of_all_magnitudes_keep_within_the_bound_beside_one_another(
    path: str, clip: float
) -> None:
    pairs = [(a, b, 0.0) for a in MAGNITUDES for b in MAGNITUDES]
    with np.errstate(all="ignore"):
        rows = np.array(pairs, dtype=np.float32)
    alone = [_summed(path, row[None], clip=clip) for row in rows]
    assert max(map(_norm2, alone)) <= BOUND**2
    assert np.array_equal(_summed(path, rows, clip=clip), np.sum(alone, axis=0))


@st.composite
def _weights(draw: st.DrawFn, architecture: Architecture, layout: Layout) -> np.ndarray:
    """Draw weights that are nothing, tiny or huge by tensor, with single ones that stand out."""
    parts = []
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    for tensor in architecture.tensors(layout):
        size = draw(st.sampled_from(WEIGHT_SIZES))
        parts.append(random.uniform(-1, 1, tensor.size) * size)
    weights = np.concatenate(parts)
    for _ in range(draw(st.integers(0, 3))):
        weights[draw(st.integers(0, len(weights) - 1))] = draw(st.sampled_from(WEIGHT_SIZES))
    return weights.astype(np.float32)


@st.composite
def _certain(draw: st.DrawFn, architecture: Architecture, row: np.ndarray) -> np.ndarray:
    """Draw weights that are nothing but biases, sure of one row, which has no gradient then."""
    weights = np.zeros(architecture.parameters(TABLE), dtype=np.float32)
    places = bias_slices(architecture, TABLE)
    for name, code in zip(TABLE.attributes, row, strict=True):
        weights[places[name]][code] = draw(st.sampled_from((90.0, 1e4, LARGEST_WEIGHT)))
    return weights


CODES = st.tuples(*(st.integers(0, size - 1) for size in TABLE.sizes))


def _same_masks(count: int) -> np.ndarray:
    return ConstantBits().words(count)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("architecture", NETWORKS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_weights_let_a_row_move_a_sum_beyond_the_bound(
    path: str, architecture: Architecture, data: st.DataObject
) -> None:
    gradients = Gradients(architecture, TABLE, clip=data.draw(CLIPS))
    rows = np.array(data.draw(st.lists(CODES, min_size=1, max_size=9)))
    drawn = st.one_of(_weights(architecture, TABLE), _certain(architecture, rows[-1]))
    gradients.load(data.draw(drawn))
    with _clipping(path):
        with_row, _ = gradients.sum(rows, words=_same_masks)
        without, _ = gradients.sum(rows[:-1], words=_same_masks)
    assert _norm2(with_row - without) <= BOUND**2


@contextmanager
def _clipping(path: str) -> Iterator[None]:
    """Let gradients be clipped on a path, whatever device is there."""

    def there(self: Gradients, parts: list[torch.Tensor], *, total: np.ndarray) -> int:
        return add_clipped_there(parts, clip=self._clip, total=total)

    with pytest.MonkeyPatch.context() as patch:
        if path == "torch":
            patch.setattr(Gradients, "_add", there)
        yield


@pytest.mark.parametrize(
    ("trust", "path"), [("own", "here"), ("shared", "here"), ("shared", "torch")]
)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_round_lets_a_person_move_a_sum_beyond_the_bound(
    trust: str, path: str, data: st.DataObject
) -> None:
    """The sum that noise is added to, in a round of each trust, at every clip of a plan."""
    schema = wide_schema(5)
    plan = training_plan(schema, noise=Fraction(1), rate=Fraction(1))
    plan = shared_plan(plan) if trust == "shared" else plan
    assert plan.training is not None
    object.__setattr__(plan.training, "clip", data.draw(CLIPS))
    weights = data.draw(_weights(plan.training.architecture, layout_of(schema)))
    codes = np.array(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=9)))[:, None]
    with _clipping(path):
        with_person, without = (_clipped(plan, weights, rows) for rows in (codes, codes[:-1]))
    assert _norm2(with_person - without) <= BOUND**2


def _clipped(plan: Plan, weights: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the sum that a round of one step adds noise to."""
    seen: list[np.ndarray] = []

    def add_noise(clipped: np.ndarray) -> np.ndarray:
        seen.append(clipped.copy())
        return clipped

    train_round(
        People(examples=codes, person=np.arange(len(codes)), count=len(codes)),
        plan=plan,
        request=round_request(plan, weights),
        schema=wide_schema(5),
        bits=ConstantBits(),
        add_noise=add_noise,
    )
    return seen[0]


def test_a_row_above_the_bound_even_when_truncated_counts_as_zero() -> None:
    """Its squares vanish in single precision, so that the scale is far too large for it."""
    row = np.full((1, 3), 1e-25, dtype=np.float32)
    others = np.full((2, 3), 1e-31, dtype=np.float32)
    for path in PATHS:
        assert not _summed(path, row, clip=1e-30).any()
        alone = _summed(path, others, clip=1e-30)
        assert alone.any()
        assert np.array_equal(_summed(path, np.concatenate((row, others)), clip=1e-30), alone)


@pytest.mark.parametrize("path", PATHS)
def test_a_row_that_does_not_count_leaves_the_others_whole(path: str) -> None:
    """A huge value that is added and taken away again wipes out what others added."""
    others = np.array([[0.25, -0.5, 0.125], [0.0, 0.75, 0.5]], dtype=np.float32)
    whole = _summed(path, others, clip=1.0)
    for bad in (np.nan, np.inf, -np.inf, 3e38, 1e19):
        row = np.array([[0.1, bad, 0.1]], dtype=np.float32)
        moved = _summed(path, np.concatenate((others[:1], row, others[1:])), clip=1.0) - whole
        assert np.array_equal(moved, _summed(path, row, clip=1.0))
        assert _norm2(moved) <= BOUND**2


@pytest.mark.parametrize("path", PATHS)
def test_rows_of_scales_beyond_single_precision_count_as_zero(path: str) -> None:
    """Below 1.2e-35 the scale of a row without a gradient is infinite, and 0 times it is NaN."""
    rows = np.zeros((3, 4), dtype=np.float32)
    rows[1] = 0.5
    total = np.zeros(4, dtype=np.int64)
    assert PATHS[path]([rows], clip=1e-37, total=total) == 2
    assert 2040 <= total.min() == total.max() <= 2047


def test_clipping_warns_of_nothing_that_data_decides(capfd: pytest.CaptureFixture[str]) -> None:
    """Warnings reach the standard error of a gateway, which others may read."""
    values = (0.0, 1e-45, 1e-25, 1e19, 3e38, np.inf, -np.inf, np.nan)
    rows = np.array([[a, b, c] for a in values for b in values for c in values], dtype=np.float32)
    with warnings.catch_warnings(record=True) as warned, np.errstate(all="warn"):
        warnings.simplefilter("always")
        for clip in (*HARD_CLIPS, math.nan, 0.0):
            for path in PATHS:
                _summed(path, rows, clip=clip)
    assert not warned
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2**63, -(2.0**70), 3 * BOUND + 1])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_sum_that_its_rows_cannot_add_up_to_is_not_cast(
    value: float, kind: type[np.floating]
) -> None:
    sums = np.array([1, value, 2], dtype=kind)
    with np.errstate(all="ignore"), pytest.raises(InvalidTable, match="beyond what its rows"):
        exact_sum(sums, rows=3)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_sum_that_its_rows_can_add_up_to_is_cast_exactly(kind: type[np.floating]) -> None:
    most = clip_module.MOST_ROWS * BOUND
    sums = np.array([most, -most, 0, most - 1], dtype=kind)
    cast = exact_sum(sums, rows=clip_module.MOST_ROWS)
    assert cast.tolist() == [most, -most, 0, most - 1]


@pytest.mark.parametrize(
    ("row", "within"),
    [
        ([BOUND, 0], True),
        ([BOUND, 1], False),
        ([-BOUND, 0], True),
        ([0, BOUND + 1], False),
        ([2.0**32, 0], False),
        ([2.0**31.5, 2.0**31.5], False),
        ([3.1e9, 3.1e9], False),
        ([np.nan, 0], False),
        ([np.inf, 0], False),
        ([-np.inf, 0], False),
    ],
)
def test_the_exact_check_does_not_wrap(row: list[float], within: bool) -> None:
    """Squares of 2^32, and some of 3e9, are small or negative numbers in int64."""
    whole = np.array(row).round()
    assert is_within([whole]) == within
    assert is_within([whole[:1], whole[1:]]) == within
    with np.errstate(all="ignore"):
        single = whole.astype(np.float32)
    assert is_within([single]) == within or not within


@pytest.mark.parametrize("path", PATHS)
def test_rows_that_are_cut_to_the_clip_count(path: str) -> None:
    rows = np.eye(3, dtype=np.float32)
    total = _summed(path, rows, clip=1.0)
    unit = gradient_unit(clip=1.0, parameters=3)
    assert np.abs(total * unit - 1).max() <= unit


@pytest.mark.parametrize("scale", [np.inf, -np.inf, np.nan, 3e38])
def test_integers_that_are_no_numbers_are_not_within_the_bound(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a scale be wrong after all: what is compared must hold, not fail to be broken."""
    rows = np.array([[0, 0, 0], [0, 1, 0]], dtype=np.float32)
    scales = np.array([scale, scale if np.isnan(scale) else 7], dtype=np.float32)
    monkeypatch.setattr(clip_module, "_scales", lambda *_, **__: (scales.copy(), 0))
    total = _summed("here", rows, clip=1.0)
    assert total.tolist() == [0, 0 if np.isnan(scale) else 7, 0]


def test_on_a_gpu_every_microbatch_has_one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no product rounds in another order because of who else is there."""
    layout, architecture = TABLE, NETWORKS[0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_: self)
    monkeypatch.setattr(gradient_module, "_LONGEST", 72)
    gradients = Gradients(architecture, layout, clip=1.0)
    assert gradients._rows == 24
    assert gradients._device.type == "cuda"
    monkeypatch.setattr(gradients, "_send", torch.from_numpy)
    gradients.load(np.full(architecture.parameters(layout), 0.1, dtype=np.float32))
    found, shapes = gradients._gradient, set[tuple[int, ...]]()

    def seen(parameters: object, codes: torch.Tensor, uniform: torch.Tensor) -> object:
        shapes.add((*codes.shape, *uniform.shape))
        return found(parameters, codes, uniform)

    monkeypatch.setattr(gradients, "_gradient", seen)
    for rows in (1, 3, 24, 30):
        gradients.sum(np.zeros((rows, 3), dtype=np.int64), words=_same_masks)
    assert len(shapes) == 1
