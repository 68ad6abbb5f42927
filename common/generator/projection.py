"""Public projections of a table: a bounded integer vector for each row, which silos sum.

Every attribute beside the label says a number of a row, its score. A projection adds and takes away
scores by public signs; a row's projections are scaled to a length, rounded, and leave as their sum
and their second moments, by class of the label. A Gaussian law for each class follows from those
(Gondara and Wang 2020; RON-Gauss, Chanyaswad, Liu and Mittal 2019). All of it is whole numbers but
for one scaling, after which each row is measured again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator.pieces import classes_of, in_pieces
from silosynth.common.schema import PlainModel
from silosynth.common.seeded import SeededWords

SCORE = 256
"""The integer that a score of one is written as."""

MOST_SCORE = 2**11
MOST_COLUMNS = 1024
"""So that no squared length of a row's projections is beyond what a float64 adds up exactly."""

LENGTH = 256
"""The most that a row's projections may be long, as integers."""

SUM_WEIGHT, SQUARE_WEIGHT, CROSS_WEIGHT = 5 * LENGTH, 5, 7
"""What sums, squares and products of two are multiplied by: a product stands there once, and may
weigh up to the square root of two more than a square without a row being longer."""

_ROOM = 2
"""Rows of so many times the mean squared length keep theirs; those beyond are scaled down."""


class ProjectionSettings(PlainModel):
    """Onto how many dimensions a plan projects; ``seed`` is public, ``label`` names the classes."""

    dimensions: int = Field(ge=1, le=MOST_COLUMNS)
    seed: int = Field(default=1, ge=0, lt=2**63)
    label: str | None = None

    @property
    def bound(self) -> int:
        """Return the L2 norm that no row's vector exceeds, which :func:`moments_bound` shows."""
        return moments_bound()

    @property
    def cells(self) -> int:
        """Return the length of the vector of one class."""
        return moments_cells(self.dimensions)

    def inputs(self, domain: Domain) -> Clique:
        """Return the attributes that are projected, in the domain's order."""
        return tuple(a for a in domain.attributes if a != self.label)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProjectionMap:
    """The projections of rows over working codes of ``domain``; ``label`` is a column, or None.

    ``signs`` is (inputs, dimensions) int64 of -1, 0 and 1, ``scores[i]`` (working codes,) int64 of
    the i-th input, ``radius2`` the squared length from which on a row is scaled down.
    """

    domain: Domain
    label: int | None
    signs: np.ndarray
    scores: tuple[np.ndarray, ...]
    radius2: int

    @property
    def classes(self) -> int:
        """Return the number of classes; one without a label."""
        return 1 if self.label is None else self.domain.shape[self.label]

    @property
    def dimensions(self) -> int:
        """Return onto how many dimensions rows are projected."""
        return int(self.signs.shape[1])

    @property
    def inputs(self) -> tuple[int, ...]:
        """Return the columns beside the label."""
        return tuple(i for i in range(len(self.domain.shape)) if i != self.label)

    @property
    def scale(self) -> float:
        """Return how long a projection of length one is as an integer, of rows not scaled down."""
        return longest(self.dimensions) / math.sqrt(self.radius2)

    def rows(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Return (rows, dimensions) int64, the projections of rows as integers.

        Guarantees: the squares of a row's integers add up to at most LENGTH^2, whatever the codes,
        scores and signs: a row whose integers are not shown to be within counts as zeros. A row's
        integers are the same whatever rows stand beside it.

        Args: columns: (rows,) working codes of each attribute of the domain.
        """
        scores = np.stack(
            [s[columns[i]] for i, s in zip(self.inputs, self.scores, strict=True)], axis=1
        ).astype(np.float64)
        # Sums of whole numbers below 2^53 are exact in any order.
        return bounded_rows(scores @ self.signs.astype(np.float64), radius2=self.radius2)


def bounded_rows(rows: np.ndarray, *, radius2: int) -> np.ndarray:
    """Return (rows, dimensions) int64: rows scaled so that ``radius2`` comes to about LENGTH^2.

    Guarantees: the squares of a row's integers add up to at most LENGTH^2, whatever stands in the
    row: one that is longer than its radius is scaled down, and one whose integers are not shown to
    be within counts as zeros. Each row is scaled by its own squares alone.

    Args: rows: (rows, dimensions) whole numbers whose squares add up to less than 2^53.
    """
    squared = (rows**2).sum(axis=1, keepdims=True)
    most = longest(rows.shape[1])
    whole = np.rint(rows * (most / np.sqrt(np.maximum(squared, radius2))))
    inside = (whole**2).sum(axis=1, keepdims=True) <= LENGTH**2
    within: np.ndarray = np.where(inside, whole, 0.0).astype(np.int64)
    return within


def longest(dimensions: int) -> float:
    """Return to which length rows are scaled, so that rounding leaves them within LENGTH."""
    return LENGTH - math.sqrt(dimensions) / 2 - 1


def moments_bound() -> int:
    """Return the L2 norm that sums, squares and products of a row that is LENGTH long have at most.

    Guarantees: of a row y with |y| <= LENGTH the sums add SUM_WEIGHT^2 |y|^2 to the squared norm,
    squares and products at most SQUARE_WEIGHT^2 |y|^4, since CROSS_WEIGHT^2 is at most twice
    SQUARE_WEIGHT^2. The root is rounded up.
    """
    squared = (SUM_WEIGHT * LENGTH) ** 2 + SQUARE_WEIGHT**2 * LENGTH**4
    return math.isqrt(squared - 1) + 1


def moments_cells(dimensions: int) -> int:
    """Return how many sums, squares and products of two come of so many numbers a row."""
    return dimensions + dimensions * (dimensions + 1) // 2


def projection_cells(
    settings: ProjectionSettings,
    *,
    clique: Clique,
    domain: Domain,
    scores: Mapping[str, Sequence[int]],
) -> int:
    """Return the length of the vector of all classes, before anything is allocated.

    Raises InvalidPlan unless the query names every attribute, in order, and each but the label has
    a score for each code; and for a projection that is wider than the table.
    """
    if clique != domain.attributes:
        raise InvalidPlan("a projection is asked of all attributes, in the schema's order")
    check_width(settings, domain=domain)
    inputs = settings.inputs(domain)
    if set(scores) != set(inputs):
        raise InvalidPlan("scores are of all attributes but the label, and of no other")
    if any(len(scores[a]) != domain.size((a,)) for a in inputs):
        raise InvalidPlan("scores are one for each code of an attribute, as its level merges them")
    classes = 1 if settings.label is None else domain.size((settings.label,))
    return classes * settings.cells


def check_width(settings: ProjectionSettings, *, domain: Domain) -> None:
    """Raise InvalidPlan, or CapExceeded, for a table that cannot be projected so."""
    if settings.label is not None:
        domain.index(settings.label)
    width = len(settings.inputs(domain))
    if width > MOST_COLUMNS:
        raise CapExceeded(
            f"{width} columns would be projected; at most {MOST_COLUMNS} are allowed",
            hint="leave columns out, or use the method one-shot",
        )
    if settings.dimensions > width:
        raise InvalidPlan(
            f"a projection onto {settings.dimensions} dimensions is wider than the table, which "
            f"has {width} columns beside the label",
            hint=f"give at most {max(width, 1)} dimensions",
        )


def projection_map(
    settings: ProjectionSettings,
    *,
    domain: Domain,
    scores: Mapping[str, Sequence[int]],
) -> ProjectionMap:
    """Work the projections out of the public seed; silos and coordinator get the same.

    Args: domain: of working codes. scores: of each attribute but the label, one a working code.
    """
    projection_cells(settings, clique=domain.attributes, domain=domain, scores=scores)
    inputs = settings.inputs(domain)
    signs = _signs(len(inputs), settings)
    mean_squared = int((signs**2).sum()) * SCORE**2
    return ProjectionMap(
        domain=domain,
        label=None if settings.label is None else domain.index(settings.label),
        signs=signs,
        scores=tuple(np.asarray(scores[a], dtype=np.int64) for a in inputs),
        radius2=math.ceil(_ROOM * mean_squared),
    )


def sum_projections(projection: ProjectionMap, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return (classes * cells,) int64: by class the sums, then squares and products, row-major.

    Guarantees: adding or removing one row adds or takes away one vector in the block of its class,
    whose L2 norm is at most :attr:`ProjectionSettings.bound`. Sums of at most 2^38 rows do not
    overflow.

    Args: columns: (rows,) working codes of each attribute of the domain.
    """
    size = projection.dimensions
    total = np.zeros((projection.classes, moments_cells(size)), dtype=np.int64)
    for part in in_pieces(columns, width=len(projection.inputs) + size):
        classes = classes_of(part, projection.label)
        add_moments(projection.rows(part), classes, total=total)
    return total.ravel()


def add_moments(rows: np.ndarray, classes: np.ndarray, *, total: np.ndarray) -> None:
    """Add each row's sums, squares and products to the line of its class.

    Guarantees: a row changes one line, by at most :func:`moments_bound` in L2 norm if it is at most
    LENGTH long.

    Args: rows: (rows, dimensions) int64. total: (classes, cells) int64.
    """
    size = rows.shape[1]
    upper = np.triu_indices(size)
    weights = np.where(upper[0] == upper[1], SQUARE_WEIGHT, CROSS_WEIGHT)
    for c in np.unique(classes).tolist():
        mine = rows[classes == c]
        total[c, :size] += SUM_WEIGHT * mine.sum(axis=0)
        total[c, size:] += weights * _moments(mine)[upper]


def _moments(rows: np.ndarray) -> np.ndarray:
    """Return (dimensions, dimensions) int64, the sum of products of each two columns."""
    exact = rows.astype(np.float64)
    moments: np.ndarray = (exact.T @ exact).astype(np.int64)
    return moments


def _signs(width: int, settings: ProjectionSettings) -> np.ndarray:
    """Return (width, dimensions) int64: each column by itself, or rows of a Hadamard matrix.

    Rows of such a matrix are orthogonal, and nearly so where some of their columns are left out
    (Ailon and Chazelle 2009); the signs of columns and the choice of rows are by the seed.
    """
    if settings.dimensions == width:
        return np.eye(width, dtype=np.int64)
    length = 1 << (width - 1).bit_length()
    words = SeededWords(seed=settings.seed, purpose="projection")
    chosen = words.permutation(length)[: settings.dimensions]
    turned = 1 - 2 * words.below(2, width)
    shared = np.arange(width)[:, None] & chosen
    odd = np.zeros_like(shared)
    while shared.any():
        odd ^= shared & 1
        shared = shared >> 1
    signs: np.ndarray = turned[:, None] * (1 - 2 * odd)
    return signs
