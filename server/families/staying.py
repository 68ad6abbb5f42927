"""How often a row has the code of the row before it, by how many rows its parent has.

Pairs do not say it: a parent of 300 rows changes far more seldom from row to row than one of 3, and
a law that adds up what the row before and what the number of rows say of each code gives both the
same rate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.families import PREVIOUS, SAME
from silosynth.common.forest import Term, to_scores
from silosynth.server.families.evidence import Evidence, Pair


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Staying:
    """Of one attribute, by the codes of ``group``: the share that stays, and what is beyond it."""

    before: str
    group: str
    codes: int
    share: float
    pair: Pair = field(repr=False)

    @property
    def groups(self) -> int:
        """Return how many codes the group has."""
        return len(self.pair.excess)

    @property
    def given(self) -> tuple[str, str]:
        """Return what the term is given."""
        return self.before, self.group

    def term(self, logarithms: np.ndarray) -> Term:
        """Return (groups,) logarithms by which the code before is likelier, as a term."""
        table = np.eye(self.codes)[:, None, :] * logarithms[None, :, None]
        return Term(given=self.given, scores=to_scores(table.reshape(-1, self.codes)))

    def start(self, begun: Mapping[tuple[str, ...], np.ndarray]) -> np.ndarray:
        """Return (groups,) where to begin, of logarithms of a law before."""
        found = begun.get(self.given)
        return np.zeros(self.groups) if found is None else found[: self.groups, 0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stays:
    """The part of a regression that a :class:`Staying` is.

    ``before`` and ``group``: (rows,) codes; ``targets`` and ``ridge``: (groups,) float64.
    """

    before: np.ndarray = field(repr=False)
    group: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)
    ridge: np.ndarray = field(repr=False)

    def held(self, weights: np.ndarray) -> np.ndarray:
        """Return (groups,) float64, the sum of the weights of each group's rows."""
        return np.bincount(self.group, weights=weights, minlength=len(self.targets))

    def curvature(self, weights: np.ndarray) -> np.ndarray:
        """Return (groups,) float64, about how the loss curves in each logarithm."""
        held = self.held(weights)
        share = self.targets / np.maximum(held, 1e-12)
        curvature: np.ndarray = held * share * (1 - share) + self.ridge + 1e-3
        return curvature


def find_staying(evidence: Evidence, attribute: str, known: Collection[str]) -> Staying | None:
    """Return what is known of an attribute's staying; None where noise, or no row, says it."""
    pairs = evidence.given(f"{SAME}{attribute}", known)
    if f"{PREVIOUS}{attribute}" not in known:
        return None
    for group, pair in pairs.items():
        share = evidence.shares[f"{SAME}{attribute}"]
        return Staying(
            before=f"{PREVIOUS}{attribute}",
            group=group,
            codes=evidence.domain.size((attribute,)),
            share=float(share[1]),
            pair=pair,
        )
    return None


def stays_of(
    staying: Staying,
    known: Mapping[str, np.ndarray],
    *,
    weights: np.ndarray,
    ratio: np.ndarray,
) -> Stays:
    """Return the part of a regression on some rows.

    Args: ratio: (groups,) how much oftener each group is drawn than was noised.
    """
    group = known[staying.group].astype(np.int64)
    held = np.bincount(group, weights=weights, minlength=staying.groups)
    targets = held * staying.share + weights.sum() * staying.pair.excess[:, 1] * ratio
    return Stays(
        before=known[staying.before].astype(np.int64),
        group=group,
        targets=np.clip(targets, 0.0, held),
        ridge=staying.pair.pull(weights)[:, 1],
    )
