"""Classifiers that learn from one set of rows and are asked about another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

Labelled = tuple[np.ndarray, np.ndarray]
"""What is seen, (rows, columns), and the label, (rows,)."""


def table_auc(train: Labelled, test: Labelled) -> float:
    """Return the area under the curve of gradient boosting on codes; labels are 0 and 1."""
    if len(np.unique(train[1])) < 2:
        return 0.5
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(random_state=0).fit(*train)
        return float(roc_auc_score(test[1], model.predict_proba(test[0])[:, 1]))


def image_accuracy(train: Labelled, test: Labelled) -> float:
    """Return the share that a support vector machine names right."""
    if len(np.unique(train[1])) < 2:
        return float((test[1] == train[1][0]).mean())
    return float(SVC().fit(*train).score(*test))


def text_auc(
    train: tuple[Sequence[str], np.ndarray], test: tuple[Sequence[str], np.ndarray]
) -> float:
    """Return the area under the curve of a classifier of words and their parts."""
    if len(np.unique(train[1])) < 2:
        return 0.5
    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    model = LogisticRegression(max_iter=1000, class_weight="balanced")
    model.fit(words.fit_transform(train[0]), train[1])
    return float(roc_auc_score(test[1], model.decision_function(words.transform(test[0]))))
