"""What a classifier learns: to tell real from synthetic, and to predict a column."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score
from threadpoolctl import threadpool_limits

from silosynth.common.scores import Column, Values
from silosynth.common.seeded import SeededWords

FOLDS = 3
_FAR = 1e30
_Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Apart:
    """How well two tables can be told apart. ``drops`` are (columns,) losses of AUC."""

    auc: float
    pmse: float
    drops: np.ndarray


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
        model = HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=0)
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
    found = np.zeros(rows.shape[1])
    for place in range(rows.shape[1]):
        shuffled = rows.copy()
        shuffled[:, place] = rows[order, place]
        found[place] = whole - area(truth, predict(shuffled)[:, 1])
    return found


def predict_classes(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, *, classes: int
) -> np.ndarray:
    """Return (rows, classes) float64: chances that a model learnt from ``train`` gives ``test``.

    A class that training lacks has chance 0.
    """
    chances = np.zeros((len(test), classes))
    found = np.unique(labels)
    if len(found) < 2:
        chances[:, found] = 1
        return chances
    model = HistGradientBoostingClassifier(
        max_iter=100 if classes <= 3 else 40, early_stopping=False, random_state=0
    )
    model.fit(train, labels)
    chances[:, found] = model.predict_proba(test)
    return chances


def predict_numbers(train: np.ndarray, numbers: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return (rows,) float64: what a model learnt from ``train`` expects of ``test``."""
    model = HistGradientBoostingRegressor(max_iter=100, early_stopping=False, random_state=0)
    expected: np.ndarray = model.fit(train, numbers).predict(test)
    return expected


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


def importance(
    train: np.ndarray, target: np.ndarray, test: np.ndarray, truth: np.ndarray, *, seed: int
) -> np.ndarray:
    """Return (columns,) float64: how much worse a model is on a shuffled column, at least 0."""
    listed = target.dtype.kind == "i"
    model = (
        HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=0)
        if listed
        else HistGradientBoostingRegressor(max_iter=60, early_stopping=False, random_state=0)
    )
    found = np.zeros(test.shape[1])
    if listed and len(np.unique(target)) < 2:
        return found
    model.fit(train, target)
    whole = model.score(test, truth)
    order = SeededWords(seed=seed, purpose="importance").permutation(len(test))
    for place in range(test.shape[1]):
        shuffled = test.copy()
        shuffled[:, place] = test[order, place]
        found[place] = max(whole - model.score(shuffled, truth), 0.0)
    return found


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
