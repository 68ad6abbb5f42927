"""Train gradient boosting on a table and print its AUC on another, in an environment of its own.

Input: an ``.npz`` of ``train`` and ``test``, (rows, attributes) codes each; last column: the label.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score


def main(source: Path) -> None:
    """Print the AUC; 0.5 where the table has one class alone."""
    with np.load(source) as file:
        train, test = file["train"], file["test"]
    if len(np.unique(train[:, -1])) < 2:
        print(0.5)
        return
    model = GradientBoostingClassifier(random_state=0).fit(train[:, :-1], train[:, -1])
    print(roc_auc_score(test[:, -1], model.predict_proba(test[:, :-1])[:, 1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
