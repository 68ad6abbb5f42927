"""Move a trained generator's 1-way marginals to those that were measured: post-processing.

Training under noise moves the biases of every attribute's codes away from marginals that are known
much better. Rows are drawn, and each bias is raised by the logarithm of measured over drawn share:
iterative proportional fitting (Deming and Stephan 1940) on the network's own logits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from silosynth.common.codec import Layout
from silosynth.common.generator import Architecture, bias_slices
from silosynth.common.seeded import SeededWords

_ROWS = 20_000
_STEPS = (0.7, 0.7, 0.7, 0.6, 0.4)
"""Parts of a correction that are taken; the last is smaller, as draws have noise of their own."""
_SMOOTHING = 5.0


def match_one_way(
    weights: np.ndarray,
    *,
    architecture: Architecture,
    layout: Layout,
    shares: Mapping[str, np.ndarray],
    seed: int,
) -> np.ndarray:
    """Return weights whose draws have the given 1-way marginals, or nearly; needs PyTorch.

    Each round draws anew, in other orders, so that no single draw is fitted.

    Args:
        weights: (parameters,) float32.
        shares: for some attributes, (codes,) float64, adding up to one, none of them 0.
    """
    # PyTorch is an extra: only plans that train a generator come here.
    from silosynth.common.sampler import condition_cells, draw_examples, load_network

    moved = weights.copy()
    free = layout.attributes[: layout.free]
    places = {a: p for a, p in bias_slices(architecture, layout).items() if a in shares}
    places = {a: places[a] for a in free if a in places}
    for number, part in enumerate(_STEPS if places else ()):
        network = load_network(architecture, layout, moved)
        words = SeededWords(seed=seed, purpose="calibrate", index=number)
        cells = condition_cells(network, {})
        drawn = draw_examples(network, rows=_ROWS, cells=cells, words=words, whole=False)
        for name, place in places.items():
            column = drawn[:, layout.attributes.index(name)]
            counts = np.bincount(column, minlength=len(shares[name]))
            step = np.log((_ROWS * shares[name] + _SMOOTHING) / (counts + _SMOOTHING))
            moved[place] += (part * step).astype(np.float32)
    return moved
