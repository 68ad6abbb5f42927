"""A model that is asked twice says what two models say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from silosynth.common.learners import Explain, learn
from silosynth.common.seeded import SeededWords

ROWS = 400


def _rows(*, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of three columns, the last of which says nothing, and answers."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.integers(0, 6, ROWS), rng.normal(size=ROWS), rng.normal(size=ROWS)], 1)
    answers = rows[:, 0] + rows[:, 1] + rng.normal(size=ROWS) / 4
    if not classes:
        return rows, answers
    return rows, np.clip(np.floor(answers), 0, classes - 1).astype(np.int64)


def _fitted(rounds: int, rows: np.ndarray, answers: np.ndarray, *, classes: int) -> object:
    """Return a model that was fitted by itself."""
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return kind(max_iter=rounds, early_stopping=False, random_state=0).fit(rows, answers)


@pytest.mark.parametrize(("classes", "rounds"), [(0, 100), (2, 100), (3, 100), (5, 40)])
def test_one_model_says_what_a_model_of_each_number_of_rounds_says(
    classes: int, rounds: int
) -> None:
    """What it looks at is seen after 60 rounds, less or more than those it guesses by."""
    rows, answers = _rows(classes=classes)
    test, truth = _rows(classes=classes, seed=1)
    explain = Explain(rows=test, truth=truth, seed=3)
    found = learn(rows, answers, test, classes=classes, explain=explain)
    alone = _fitted(rounds, rows, answers, classes=classes)
    guess = alone.predict_proba(test) if classes else alone.predict(test)  # type: ignore[attr-defined]  # sklearn has no types
    np.testing.assert_array_equal(found.guess, guess)
    looked = _fitted(60, rows, answers, classes=classes)
    order = SeededWords(seed=3, purpose="importance").permutation(ROWS)
    for place in range(rows.shape[1]):
        shuffled = test.copy()
        shuffled[:, place] = test[order, place]
        lost = looked.score(test, truth) - looked.score(shuffled, truth)  # type: ignore[attr-defined]  # as above
        assert found.looked[place] == max(lost, 0.0)


def test_what_a_model_guesses_does_not_hang_on_what_is_asked_beside() -> None:
    rows, answers = _rows(classes=5)
    test, truth = _rows(classes=5, seed=1)
    explain = Explain(rows=test.copy(), truth=truth, seed=3)
    both = learn(rows, answers, test, classes=5, explain=explain)
    alone = learn(rows, answers, test, classes=5)
    np.testing.assert_array_equal(both.guess, alone.guess)
    np.testing.assert_array_equal(alone.looked, np.zeros(3))
    np.testing.assert_array_equal(explain.rows, test)


def test_a_class_that_training_lacks_has_no_chance() -> None:
    rows, answers = _rows(classes=3)
    some = answers != 1
    guess = learn(rows[some], answers[some], rows, classes=3).guess
    assert guess.shape == (ROWS, 3)
    assert (guess[:, 1] == 0).all()
    one = learn(rows[some], np.full(some.sum(), 2), rows, classes=3)
    np.testing.assert_array_equal(one.guess, np.tile([0.0, 0.0, 1.0], (ROWS, 1)))
