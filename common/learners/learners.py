"""What a classifier learns: to tell real from synthetic, and to predict a column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, average_precision_score, r2_score, roc_auc_score
from threadpoolctl import threadpool_limits

from silosynth.common.scores import Column, Values
from silosynth.common.seeded import SeededWords

FOLDS = 3
_FAR = 1e30
_APART_ROUNDS, _LOOKED_ROUNDS = 60, 60
_ROUNDS, _ROUNDS_OF_MANY = 100, 40
"""Of a model that predicts a column; of one with a tree a round for each of more classes."""
_FEW_CLASSES = 3
_Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Apart:
    """How well two tables can be told apart. ``drops`` are (columns,) losses of AUC."""

    auc: float
    pmse: float
    drops: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explain:
    """(rows, columns) float64 rows, their answers, and the seed that shuffles columns by."""

    rows: np.ndarray
    truth: np.ndarray
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learnt:
    """What a model says of test rows, and what it looks at.

    ``guess`` is (rows, classes) chances or (rows,) numbers, ``looked`` (columns,) losses of
    accuracy or R2.
    """

    guess: np.ndarray
    looked: np.ndarray


def one_thread() -> AbstractContextManager[object]:
    """Hold learners to one thread: on a busy machine many wait for one another."""
    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


def features(values: Values, *, without: str | None = None) -> np.ndarray:
    """Return (rows, columns) float64, all finite: missing is below all numbers, or label 0.

    Gradient boosting refuses a column that is missing in every row, and infinities.
    """
    kept = [c for c in values.columns if c.name != without]
    if not kept:
        return np.zeros((values.rows, 1))
    return np.stack([_feature(c) for c in kept], axis=1)


def _feature(column: Column) -> np.ndarray:
    if not column.listed:
        numbers: np.ndarray = np.nan_to_num(column.numbers, nan=-_FAR, posinf=_FAR, neginf=-_FAR)
        return numbers
    return column.codes.astype(np.float64)


def tell_apart(first: np.ndarray, second: np.ndarray, *, seed: int, drops: bool) -> Apart:
    """Train a classifier to tell two tables apart, in three folds.

    An AUC of 0.5 says that it cannot. ``drops`` are by how much the AUC of the first fold falls
    when a column is shuffled.
    """
    rows = np.concatenate([first, second])
    truth = np.repeat([0, 1], [len(first), len(second)])
    # A row and its copy in the other table stand in one fold: else copies would look unlike.
    folds = _folds(rows, seed=seed)
    guesses = np.full(len(rows), 0.5)
    lost = np.zeros(rows.shape[1])
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        if len(np.unique(truth[train])) < 2 or not test.any():
            continue
        model = HistGradientBoostingClassifier(
            max_iter=_APART_ROUNDS, early_stopping=False, random_state=0
        )
        model.fit(rows[train], truth[train])
        guesses[test] = model.predict_proba(rows[test])[:, 1]
        if drops and not lost.any():
            lost = _drops(model.predict_proba, rows[test], truth[test], seed=seed)
    return Apart(auc=area(truth, guesses), pmse=float(((guesses - 0.5) ** 2).mean()), drops=lost)


def _folds(rows: np.ndarray, *, seed: int) -> np.ndarray:
    """Return (rows,) int64, the fold of each row; equal rows share one."""
    _, same = np.unique(rows, axis=0, return_inverse=True)
    same = same.reshape(-1)
    fold = SeededWords(seed=seed, purpose="folds").below(FOLDS, int(same.max()) + 1)
    chosen: np.ndarray = fold[same]
    return chosen


def _drops(predict: _Predict, rows: np.ndarray, truth: np.ndarray, *, seed: int) -> np.ndarray:
    """Return (columns,) float64, the AUC that is lost when one column is shuffled."""
    whole = area(truth, predict(rows)[:, 1])
    order = SeededWords(seed=seed, purpose="drops").permutation(len(rows))
    lost = [whole - area(truth, guess[:, 1]) for guess in _shuffled(predict, rows, order)]
    return np.asarray(lost)


def learn(
    train: np.ndarray,
    answers: np.ndarray,
    test: np.ndarray,
    *,
    classes: int,
    explain: Explain | None = None,
) -> Learnt:
    """Learn ``answers`` and say what follows for ``test``.

    One model is asked for both, as it is after so many rounds: what it says of ``test`` after all,
    what it looks at after 60. A model of 60 rounds is the beginning of one of more.

    Args:
        train, test: (rows, columns) float64, all finite.
        answers: (rows,) int64 classes below ``classes``, or float64 numbers where that is 0.
        explain: rows to see on what the model looks at; without them nothing is.
    """
    found = np.unique(answers) if classes else np.zeros(0, dtype=np.int64)
    looked = np.zeros(test.shape[1])
    if len(found) == 1:
        certain = np.ones((len(test), 1))
        return Learnt(guess=_spread(certain, found, classes=classes), looked=looked)
    last = _ROUNDS if classes <= _FEW_CLASSES else _ROUNDS_OF_MANY
    model = _model(classes=classes)
    guess = np.zeros(0)
    for rounds in sorted({last, _LOOKED_ROUNDS} if explain else {last}):
        model.set_params(max_iter=rounds).fit(train, answers)
        if rounds == last:
            guess = model.predict_proba(test) if classes else model.predict(test)
        if explain and rounds == _LOOKED_ROUNDS:
            looked = _looked(model.predict, explain, classes=classes)
    return Learnt(guess=_spread(guess, found, classes=classes) if classes else guess, looked=looked)


def _model(*, classes: int) -> HistGradientBoostingClassifier | HistGradientBoostingRegressor:
    """Return a model that goes on from the rounds that it has when it is fitted again."""
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return kind(early_stopping=False, random_state=0, warm_start=True)


def _spread(chances: np.ndarray, found: np.ndarray, *, classes: int) -> np.ndarray:
    """Return (rows, classes) float64; a class that training lacks has chance 0."""
    spread = np.zeros((len(chances), classes))
    spread[:, found] = chances
    return spread


def _looked(predict: _Predict, explain: Explain, *, classes: int) -> np.ndarray:
    """Return (columns,) float64: how much worse a model is on a shuffled column, at least 0."""
    order = SeededWords(seed=explain.seed, purpose="importance").permutation(len(explain.rows))
    score = accuracy_score if classes else r2_score
    whole = score(explain.truth, predict(explain.rows))
    lost = [whole - score(explain.truth, g) for g in _shuffled(predict, explain.rows, order)]
    return np.maximum(lost, 0.0)


def _shuffled(predict: _Predict, rows: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    """Yield by column what is predicted of rows whose values there stand in another order."""
    changed = rows.copy()
    for place in range(rows.shape[1]):
        changed[:, place] = rows[order, place]
        yield predict(changed)
        changed[:, place] = rows[:, place]


def area(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the ROC curve, 0.5 where there is one class."""
    if len(np.unique(truth)) < 2:
        return 0.5
    return float(roc_auc_score(truth, score))


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the curve of precision and recall."""
    return float(average_precision_score(truth, score))


def precision_at_rate(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the precision, which is the recall, of as many rows as are positive; ties shared."""
    count = int(truth.sum())
    cut = np.sort(score)[-count]
    above, ties = score > cut, score == cut
    room = count - int(above.sum())
    return float((truth[above].sum() + room * truth[ties].mean()) / count)


def explained(truth: np.ndarray, expected: np.ndarray) -> float:
    """Return R2, cut at -1: below that a number says no more than "useless"."""
    return max(float(r2_score(truth, expected)), -1.0)


def membership_scores(
    members: Values, others: Values, *, synthetic: Values, reference: Values, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Score rows by how much likelier a classifier finds them in the table than elsewhere."""
    rows = min(synthetic.rows, reference.rows)
    order = SeededWords(seed=seed, purpose="density").permutation(synthetic.rows)[:rows]
    inputs = np.concatenate([features(synthetic.take(order)), features(reference)[:rows]])
    model = HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=0)
    model.fit(inputs, np.repeat([1, 0], rows))
    first, second = (model.predict_proba(features(v))[:, 1] for v in (members, others))
    return first, second
