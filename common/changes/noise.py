"""How far off a release's shares are: by what it states, or by its replicates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import ValidationError

from silosynth.common.certificate import Certificate
from silosynth.common.changes.facts import NoiseFrom
from silosynth.common.domain import Clique
from silosynth.common.plan import OF_COLUMNS, OF_PAIRS
from silosynth.common.sampler import DrawsRows, is_joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """The noise of a measured cell, in rows squared: of a column's, and of a pair's."""

    of_columns: float | None = None
    of_pairs: float | None = None

    @property
    def known(self) -> bool:
        """Say whether anything is."""
        return self.of_columns is not None


def stated_noise(sampler: DrawsRows) -> Stated:
    """Return the noise that follows from a sampler's certificate, all silos summed.

    Of several rounds about pairs the largest counts. A generator's columns have none to state.
    """
    try:
        noise = Certificate.model_validate(sampler.certificate).cell_noise
    except ValidationError:
        return Stated()
    pairs = [noise[name] for name in OF_PAIRS if name in noise]
    columns = [noise[name] for name in OF_COLUMNS if name in noise]
    every = max(columns) if columns else min(pairs, default=None)
    return Stated(of_columns=every, of_pairs=max(pairs, default=None))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """The rows that stand for a release: (rows,) codes of the schema, a column each."""

    columns: Mapping[str, np.ndarray] = field(repr=False)
    rows: int

    def counts(self, clique: Clique, groups: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return (cells,) float64, the rows of each cell of a marginal over groups of codes."""
        cell = np.zeros(self.rows, dtype=np.int64)
        cells = 1
        for name in clique:
            size = int(groups[name].max()) + 1
            cell = cell * size + groups[name][self.columns[name]]
            cells *= size
        return np.bincount(cell, minlength=cells).astype(np.float64)

    def shares(self, clique: Clique, groups: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return (cells,) float64, the share of each cell."""
        return self.counts(clique, groups) / max(self.rows, 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Errors:
    """What is known of one release's errors."""

    sampler: DrawsRows = field(repr=False)
    rows: Drawn
    stated: Stated
    replicates: tuple[Drawn, ...] = field(repr=False)

    @property
    def source(self) -> NoiseFrom:
        """Return where errors come from."""
        if self.replicates:
            return NoiseFrom.REPLICATES
        return NoiseFrom.STATED if self.stated.known else NoiseFrom.UNKNOWN

    def variance(self, clique: Clique, groups: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Return (cells,) float64, the variance of each share; None where nobody can say.

        By replicates: noise, people and fit. By what is stated: the noise of a cell as it was
        measured, and that its people are a sample. A pair that the model's tree does not hold was
        not measured, and has no noise of its own. The rows drawn add theirs to both.
        """
        share = self.rows.shares(clique, groups)
        # A cell that no row fell into has a standard error of about one row, not of none.
        spread = np.maximum(share * (1 - share), 1 / max(self.rows.rows, 1))
        drawing = spread / max(self.rows.rows, 1)
        if self.replicates:
            others = np.stack([r.shares(clique, groups) for r in self.replicates])
            factor = 1 + 1 / len(others)
            return np.asarray(np.maximum(others.var(axis=0, ddof=1), drawing) * factor + drawing)
        noise = self.stated.of_columns if len(clique) == 1 else self.stated.of_pairs
        if noise is None or self.sampler.total == 0 or not is_joined(self.sampler, clique):
            return None
        cells = np.ones(1)
        for name in clique:
            cells = np.outer(cells, self._codes_in(name, groups[name])).ravel()
        people = spread / self.sampler.total
        return np.asarray(cells * noise / self.sampler.total**2 + people + drawing)

    def rows_error(self) -> float | None:
        """Return the standard error of the number of rows, at most."""
        if self.stated.of_columns is None:
            return None
        fewest = min(self.sampler.grouping.domain(self.sampler.domain).shape)
        return math.sqrt(fewest * self.stated.of_columns)

    def _codes_in(self, name: str, groups: np.ndarray) -> np.ndarray:
        """Return (groups,) how many working codes make up each group of fine codes."""
        working = self.sampler.grouping.lookup(name, len(groups))
        found: Sequence[np.ndarray] = [
            np.unique(working[groups == group]) for group in range(int(groups.max()) + 1)
        ]
        return np.array([len(f) for f in found], dtype=np.float64)
