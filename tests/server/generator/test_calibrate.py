"""A generator's draws come to have the 1-way marginals that were measured."""

from __future__ import annotations

import numpy as np
import pytest

from silosynth.common.codec import Layout
from silosynth.common.generator import (
    Architecture,
    MaskedMlp,
    Transformer,
    bias_slices,
    initial_vector,
)
from silosynth.common.sampler import condition_cells, draw_examples, load_network
from silosynth.common.seeded import SeededWords
from silosynth.server.generator import calibrate, match_one_way

LAYOUT = Layout(
    attributes=("a", "b", "p", "q"), sizes=(2, 3, 4, 4), vocabularies=(0, 1, 2, 2), free=2
)
KINDS: tuple[Architecture, ...] = (
    MaskedMlp(width=8, layers=1, views=1),
    Transformer(width=8, layers=1, heads=2),
)


@pytest.mark.parametrize("architecture", KINDS)
def test_draws_move_to_the_marginals_that_were_measured(
    architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "_ROWS", 5_000)
    vector = initial_vector(architecture, LAYOUT, seed=1)
    vector += np.random.default_rng(1).normal(0, 0.3, len(vector)).astype(np.float32)
    shares = {"a": np.array([0.9, 0.1]), "b": np.array([0.2, 0.5, 0.3])}
    moved = match_one_way(vector, architecture=architecture, layout=LAYOUT, shares=shares, seed=1)

    def distance(weights: np.ndarray) -> float:
        network = load_network(architecture, LAYOUT, weights)
        words = SeededWords(seed=9, purpose="test")
        rows = draw_examples(network, rows=8_000, cells=condition_cells(network, {}), words=words)
        found = [np.bincount(rows[:, i], minlength=len(s)) for i, s in enumerate(shares.values())]
        return max(
            float(np.abs(f / 8_000 - s).sum() / 2)
            for f, s in zip(found, shares.values(), strict=True)
        )

    assert distance(vector) > 0.1
    assert distance(moved) < 0.03
    places = bias_slices(architecture, LAYOUT)
    assert "p" in places or isinstance(architecture, Transformer)
    changed = set(np.flatnonzero(moved != vector).tolist())
    assert changed == {i for a in "ab" for i in range(places[a].start, places[a].stop)}


def test_rare_codes_keep_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "_ROWS", 5_000)
    layout = Layout(attributes=("a", "b"), sizes=(31, 2), vocabularies=(0, 1), free=2)
    architecture = MaskedMlp(width=8, layers=1, views=1)
    rare = np.array([0.97, *[0.001] * 30])
    vector = initial_vector(architecture, layout, seed=1)
    vector[bias_slices(architecture, layout)["a"]] = np.log(rare)
    moved = match_one_way(
        vector,
        architecture=architecture,
        layout=layout,
        shares={"a": rare, "b": np.array([0.5, 0.5])},
        seed=1,
    )
    network = load_network(architecture, layout, moved)
    words = SeededWords(seed=9, purpose="test")
    rows = draw_examples(network, rows=20_000, cells=condition_cells(network, {}), words=words)
    assert (rows[:, 0] > 0).mean() == pytest.approx(0.03, abs=0.004)


def test_biases_stand_where_the_network_has_them() -> None:
    mlp, transformer = (bias_slices(kind, LAYOUT) for kind in KINDS)
    total = KINDS[0].parameters(LAYOUT)
    assert mlp == {
        "a": slice(total - 13, total - 11),
        "b": slice(total - 11, total - 8),
        "p": slice(total - 8, total - 4),
        "q": slice(total - 4, total),
    }
    assert set(transformer) == {"a", "b"}
