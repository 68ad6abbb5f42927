"""From the last weights of training to a sampler."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from silosynth.common.certificate.certify import Certificate
from silosynth.common.codec.examples import layout_of
from silosynth.common.domain import Clique, Grouping
from silosynth.common.plan.plan import PhaseName, TrustMode
from silosynth.common.sampler.autoregressive import AutoregressiveSampler
from silosynth.common.sampler.sampler import draw_codes
from silosynth.server.coordinator.state import State
from silosynth.server.generator.calibrate import match_one_way
from silosynth.server.generator.rounds import Learning, settings, shares_of

_DRAWN_ROWS = 20_000
_SEED = 1


def trained_sampler(
    state: State, learning: Learning, *, certificate: Certificate
) -> AutoregressiveSampler:
    """Return the sampler of the weights that training has come to.

    Its 1-way marginals are brought back to those that were measured, which training under noise
    has moved away from.
    """
    architecture, layout = settings(state.plan).architecture, layout_of(state.schema)
    one_way = state.measured().get(PhaseName.ONE_WAY, ())
    weights = match_one_way(
        learning.weights.astype(np.float32),
        architecture=architecture,
        layout=layout,
        shares=shares_of(one_way) if one_way else {},
        seed=_SEED,
    )
    return AutoregressiveSampler(
        schema=state.schema,
        grouping=Grouping(),
        within={},
        architecture=architecture,
        weights=weights,
        total=total_rows(state, learning),
        certificate=certificate.model_dump(mode="json"),
        plan_digest=state.plan.digest,
        spreads=state.spreads,
    )


class DrawnModel:
    """What a generator makes of small cliques, estimated from rows that it draws when asked.

    Texts have no codes to count, so none are drawn.
    """

    def __init__(self, sampler: AutoregressiveSampler) -> None:
        """Take a sampler; nothing is drawn yet."""
        self._sampler = sampler.without_texts()
        self._codes: dict[str, np.ndarray] | None = None

    def marginal(self, clique: Clique) -> np.ndarray:
        """Return (cells,) float64, the expected counts over a clique, row-major as it is named."""
        if self._codes is None:
            codes = draw_codes(self._sampler, rows=_DRAWN_ROWS, seed=_SEED)
            self._codes = dict(zip(self._sampler.domain.attributes, codes, strict=True))
        sizes = self._sampler.domain.sizes(clique)
        cell = np.ravel_multi_index([self._codes[a].astype(np.intp) for a in clique], sizes)
        counts = np.bincount(cell, minlength=int(np.prod(sizes)))
        return counts * (self._sampler.total / _DRAWN_ROWS)

    def pair_marginals(self, pairs: Iterable[Clique]) -> dict[Clique, np.ndarray]:
        """Return :meth:`marginal` of many pairs."""
        return {pair: self.marginal(pair) for pair in pairs}


def total_rows(state: State, learning: Learning) -> int:
    """Return the declared or noised number of rows of the silos that took part."""
    sizes = learning.sizes
    if state.plan.trust is TrustMode.SHARED and "" in sizes:
        return round(sizes[""])
    return round(sum(sizes[silo] for silo in state.silos))
