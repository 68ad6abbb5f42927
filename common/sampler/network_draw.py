"""Draw examples code by code: a chain of conditional distributions, for many rows at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional

from silosynth.common.codec import END, Layout
from silosynth.common.generator import (
    Architecture,
    MaskedMlpNetwork,
    Network,
    Pretrained,
    TransformerNetwork,
    build_network,
    load_vector,
    one_thread,
)
from silosynth.common.seeded import SeededWords

_MOST_BYTES = 2**26
_MOST_ROWS = 8192
_ORDERS = 64
"""Draws average over so many orders of the free positions, at least: a network that learnt little
or under noise says something else of a row in each, and their mean is closer to the rows; see
docs/decisions/028."""
_FEWEST_ROWS = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Codes that some positions may have together, and how likely each of them is.

    ``positions`` are (k,), ``codes`` (cells, k) int64 and ``shares`` (cells,) float64, which add
    up to the probability of all of them.
    """

    positions: tuple[int, ...]
    codes: np.ndarray
    shares: np.ndarray


def load_network(architecture: Architecture, layout: Layout, vector: np.ndarray) -> Network:
    """Return the network with its weights, on a GPU when there is one.

    Of a pretrained one it is the network of the attributes, which needs no checkpoint.
    """
    if isinstance(architecture, Pretrained):
        layout = architecture.table_layout(layout)
        architecture = architecture.table
        vector = vector[: architecture.parameters(layout)]
    network = build_network(architecture, layout)
    load_vector(network, vector)
    network.requires_grad_(False)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    return network


def condition_cells(network: Network, weights: Mapping[int, np.ndarray]) -> Cells:
    """Return the joint distribution of some free positions, each code times its weight.

    Args: weights: by position, (codes,) float64 in [0, 1]; codes of weight 0 are left out. The
        number of cells is at most the product of what is left at each position.
    """
    with one_thread():
        return _condition_cells(network, weights)


def _condition_cells(network: Network, weights: Mapping[int, np.ndarray]) -> Cells:
    """Do what :func:`condition_cells` does."""
    chain = _begin(network, rows=1, steps=len(weights))
    shares, codes = np.ones(1), np.zeros((1, 0), dtype=np.int64)
    for position, weight in weights.items():
        kept = np.flatnonzero(weight)
        found = chain.shares(position).cpu().numpy()[:, kept] * weight[kept]
        shares = (shares[:, None] * found).ravel()
        before = np.arange(len(codes)).repeat(len(kept))
        added = np.tile(kept, len(codes))
        codes = np.concatenate((codes[before], added[:, None]), axis=1)
        chain.take(torch.from_numpy(before))
        chain.put(position, torch.from_numpy(added).to(chain.device))
    return Cells(positions=tuple(weights), codes=codes, shares=shares)


def draw_examples(
    network: Network, *, rows: int, cells: Cells, words: SeededWords, whole: bool = True
) -> np.ndarray:
    """Return (rows, positions) int64 examples that have the codes of one of the cells.

    Unless ``whole``, only the free positions are drawn, and the others are 0.

    Memory is bounded, whatever ``rows`` is. Each of many parts takes the free positions in another
    order.
    """
    layout = network.layout
    examples = np.zeros((rows, layout.positions), dtype=np.int64)
    step = _rows_at_once(network)
    if layout.free - len(cells.positions) > 1:
        step = min(step, max(rows // _ORDERS, _FEWEST_ROWS))
    ends = cells.shares.cumsum()
    last = int(np.flatnonzero(cells.shares)[-1])
    with one_thread():
        for start in range(0, rows, step):
            part = examples[start : start + step]
            chosen = np.searchsorted(ends, words.uniform(len(part)) * ends[-1], side="right")
            part[:, cells.positions] = cells.codes[np.minimum(chosen, last)]
            chain = _draw_free(network, part, known=cells.positions, words=words)
            if whole:
                _draw_rest(chain, part, layout=layout, words=words)
    return examples


def _draw_free(
    network: Network, part: np.ndarray, *, known: tuple[int, ...], words: SeededWords
) -> Chain:
    """Fill in the free positions that are not known of some rows, all of them in one order."""
    layout = network.layout
    chain = _begin(network, rows=len(part), steps=layout.positions)
    for position in known:
        chain.put(position, _on(part[:, position], chain))
    for position in words.permutation(layout.free).tolist():
        if position not in known:
            part[:, position] = _draw_code(chain, position, words)
    return chain


def _draw_rest(chain: Chain, part: np.ndarray, *, layout: Layout, words: SeededWords) -> None:
    """Draw the positions that follow in a given order; what follows the end of a text is END."""
    texts = {p: (first, stop) for first, stop in layout.texts for p in range(first, stop)}
    ended = np.zeros(len(part), dtype=bool)
    for position in range(layout.free, layout.positions):
        first, stop = texts.get(position, (-1, -1))
        ended &= position != first
        if stop == layout.positions and ended.all():
            part[:, position:] = END
            return
        codes = _draw_code(chain, position, words, ended=ended if stop > 0 else None)
        part[:, position] = codes
        ended = (codes == END) if stop > 0 else np.zeros(len(part), dtype=bool)


def _draw_code(
    chain: Chain, position: int, words: SeededWords, *, ended: np.ndarray | None = None
) -> np.ndarray:
    """Draw one code of every row, and put it there."""
    ends = chain.shares(position).cumsum(-1)
    uniform = torch.from_numpy(words.uniform(len(ends))).to(chain.device)
    found = (ends <= (uniform * ends[:, -1])[:, None]).sum(-1).clamp(max=ends.shape[1] - 1)
    if ended is not None:
        found = torch.where(_on(ended, chain), END, found)
    chain.put(position, found)
    codes: np.ndarray = found.cpu().numpy()
    return codes


class Chain(Protocol):
    """Rows whose codes are put one position at a time."""

    device: torch.device

    def shares(self, position: int) -> torch.Tensor:
        """Return (rows, codes) float64, the distribution of one position given those before."""

    def put(self, position: int, codes: torch.Tensor) -> None:
        """Say what stands at a position: (rows,) int64."""

    def take(self, rows: torch.Tensor) -> None:
        """Go on with these rows, by their numbers."""


class _MaskedChain:
    """A chain of a masked MLP: the sum of what its first layer makes of every code."""

    def __init__(self, network: MaskedMlpNetwork, *, rows: int) -> None:
        self._network = network
        self._starts = np.cumsum([0, *network.layout.sizes]).tolist()
        self._table = network.codes.weight
        self.device = self._table.device
        self._sum = self._table[network.masks].sum(0).repeat(rows, 1)

    def shares(self, position: int) -> torch.Tensor:
        values = self._sum
        for layer in self._network.layers:
            values = layer(values)
        values = functional.relu(self._network.norm(values))
        part = slice(self._starts[position], self._starts[position + 1])
        head = self._network.head
        logits = functional.linear(values, head.weight[part], head.bias[part])
        return logits.double().softmax(-1)

    def put(self, position: int, codes: torch.Tensor) -> None:
        network = self._network
        symbols = codes + network.offsets[position]
        self._sum = self._sum + self._table[symbols] - self._table[network.masks[position]]

    def take(self, rows: torch.Tensor) -> None:
        self._sum = self._sum[rows.to(self.device)]


class _CausalChain:
    """A chain of a transformer: the keys and values of every code so far."""

    def __init__(self, network: TransformerNetwork, *, rows: int, steps: int) -> None:
        self._network = network
        self.device = network.codes.weight.device
        self._symbols = torch.full((rows,), network.symbols, device=self.device)
        self._place, self._target, self._step = network.layout.positions, -1, 0
        width, heads = network.codes.weight.shape[1], network.layers[0].count
        shape = (len(network.layers), 2, rows, heads, steps, width // heads)
        self._past = torch.zeros(shape, device=self.device)
        self._values = torch.zeros((rows, width), device=self.device)
        self._given = torch.zeros_like(self._values)
        self._free = network.layout.free % network.layout.positions

    def shares(self, position: int) -> torch.Tensor:
        self._advance(position)
        head = self._network.heads[self._network.layout.vocabularies[position]]
        logits: torch.Tensor = head(self._network.norm(self._values))
        return logits.double().softmax(-1)

    def put(self, position: int, codes: torch.Tensor) -> None:
        if self._target != position:
            self._advance(position)
        self._symbols = codes + self._network.offsets[position]
        self._place, self._target = position, -1
        if position < self._free:
            self._given = self._given + self._network.conditions.weight[self._symbols]

    def take(self, rows: torch.Tensor) -> None:
        rows = rows.to(self.device)
        self._past, self._values = self._past[:, :, rows], self._values[rows]
        self._given = self._given[rows]

    def _advance(self, position: int) -> None:
        """Let the code that was put last attend to those before it, and look at ``position``."""
        network = self._network
        values = network.codes(self._symbols) + network.places.weight[self._place]
        values = values + network.targets.weight[position]
        if position >= self._free:
            values = values + self._given
        for block, past in zip(network.layers, self._past, strict=True):
            values = self._attend(block, past, values)
        self._values, self._target = values, position
        self._step += 1

    def _attend(
        self, block: torch.nn.Module, past: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        """Return what one block makes of the newest code."""
        rows, width = values.shape
        split = block.mix(block.before(values)).reshape(rows, 3, block.count, -1)
        query, past[0, :, :, self._step], past[1, :, :, self._step] = split.unbind(1)
        keys, seen = past[:, :, :, : self._step + 1]
        scores = (keys @ query[..., None]).squeeze(-1) / math.sqrt(query.shape[-1])
        mixed = (scores.softmax(-1)[..., None, :] @ seen).reshape(rows, width)
        values = values + block.out(mixed)
        return values + block.down(functional.gelu(block.up(block.norm(values))))


def _begin(network: Network, *, rows: int, steps: int) -> Chain:
    """Return a chain in which nothing is put yet."""
    if isinstance(network, MaskedMlpNetwork):
        return _MaskedChain(network, rows=rows)
    return _CausalChain(network, rows=rows, steps=steps)


def _rows_at_once(network: Network) -> int:
    """Return how many rows a chain holds within 64 MiB, by the architecture alone."""
    each = 8 * 3 * max(network.layout.sizes)
    if isinstance(network, TransformerNetwork):
        each += 8 * len(network.layers) * network.codes.weight.shape[1] * network.layout.positions
    return int(min(max(_MOST_BYTES // each, 16), _MOST_ROWS))


def _on(values: np.ndarray, chain: Chain) -> torch.Tensor:
    """Return an array on the device of a chain."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(chain.device)
