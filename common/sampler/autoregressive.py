"""The sampler of a generator that was trained inside the silos: an architecture and its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from silosynth.common.codec import (
    Layout,
    allowed_codes,
    code_dtype,
    from_examples,
    layout_of,
    narrow_spreads,
)
from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import (
    CapExceeded,
    InvalidArgument,
    InvalidPlan,
    InvalidSampler,
    RunFailed,
)
from silosynth.common.generator import Architecture, Pretrained, require_digest, short
from silosynth.common.sampler.conditional import Unmerge, check_within
from silosynth.common.sampler.draw import BATCH_ROWS
from silosynth.common.sampler.sampler import (
    DrawBatch,
    DrawnAlike,
    check_facts,
    coded_schema,
)
from silosynth.common.schema import Schema
from silosynth.common.seeded import SeededWords
from silosynth.common.values import Spread

if TYPE_CHECKING:
    from silosynth.common.generator import Network, PretrainedNetwork
    from silosynth.common.sampler.network_draw import Cells

MOST_CONDITION_CELLS = 16_384
_BATCH_CODES = 2**22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AutoregressiveSampler(DrawnAlike):
    """Draw rows, images or texts code by code.

    ``weights`` is (parameters,) float32, in the order of ``architecture``, for the layout of
    ``schema`` over working codes; ``grouping`` and ``within`` are those of
    :class:`~silosynth.common.sampler.sampler.Sampler`. ``allowed`` holds, by attribute, which fine
    codes
    rows may have: a condition, which no file keeps. ``checkpoint`` is the folder of the pretrained
    checkpoint that texts are written with, where the architecture names one; no file keeps it
    either. Without ``texts`` rows are drawn that have none.

    Guarantees: what can be built can be drawn from where PyTorch is installed, texts of a
    pretrained network where its checkpoint is. The same seed gives the same rows with the same
    versions of PyTorch and NumPy on the same kind of machine.
    """

    schema: Schema
    grouping: Grouping
    within: Mapping[str, np.ndarray]
    architecture: Architecture
    weights: np.ndarray
    total: int
    certificate: Mapping[str, Any]
    plan_digest: str
    allowed: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    checkpoint: Path | None = field(default=None, repr=False)
    texts: bool = True
    spreads: Mapping[str, Spread] = field(default_factory=dict, repr=False)
    domain: Domain = field(init=False, repr=False)
    layout: Layout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_facts(self)
        object.__setattr__(self, "domain", self.schema.domain)
        check_within(self.within, grouping=self.grouping)
        try:
            layout = layout_of(self.schema, grouping=self.grouping)
            parameters = self.architecture.parameters(layout)
        except (InvalidPlan, CapExceeded) as err:
            raise InvalidSampler(f"the generator does not fit the schema: {err}") from err
        object.__setattr__(self, "layout", layout)
        if self.weights.shape != (parameters,) or self.weights.dtype != np.float32:
            raise InvalidSampler(
                f"the weights are not those of the architecture, which has {parameters}"
            )
        if not np.isfinite(self.weights).all():
            raise InvalidSampler("a weight is not finite")
        self.weights.setflags(write=False)

    @property
    def batch_rows(self) -> int:
        """Return how many rows are drawn at once: fewer of long texts, so memory is bounded."""
        return min(BATCH_ROWS, max(_BATCH_CODES // self.layout.positions, 1))

    def drawer(self) -> DrawBatch:
        """Return the function that draws the codes of a batch.

        Raises RunFailed without PyTorch, or without what a pretrained network needs;
        InvalidArgument where its checkpoint was not named.
        """
        network = self._network()
        return partial(self._draw_batch, network, self._writer(), self._cells(network))

    def describe(self) -> dict[str, Any]:
        """Return what is known of this kind of sampler alone, as plain JSON data."""
        return {
            "generator": {
                **self.architecture.model_dump(mode="json"),
                "label": self.schema.label,
                "positions": self.layout.positions,
                "parameters": int(self.weights.size),
            },
            "cells": int(self.weights.size),
        }

    def with_checkpoint(self, folder: Path) -> AutoregressiveSampler:
        """Return the sampler that writes texts with the checkpoint in a folder.

        Raises InvalidArgument when this sampler needs none, InvalidCheckpoint when the folder holds
        another one than it learnt with.
        """
        if not isinstance(self.architecture, Pretrained):
            raise InvalidArgument("this sampler needs no checkpoint", hint="leave it out")
        require_digest(folder, self.architecture.checkpoint)
        return replace(self, checkpoint=folder)

    def without_texts(self) -> AutoregressiveSampler:
        """Return the sampler of the same rows without their texts, which needs no checkpoint."""
        return replace(self, texts=False)

    def given(self, where: Mapping[str, str]) -> AutoregressiveSampler:
        """Return the sampler of the rows that meet every condition of ``where``.

        Guarantees: exact, without rejection: attributes with conditions are drawn first, from
        their joint distribution; ``total`` is the expected number of such rows.
        Errors: InvalidArgument for conditions that no row meets, that leave too many combinations
        open, or that speak of pixels.
        """
        asked = allowed_codes(self.schema, where, spreads=self.spreads)
        both = {name: share * self.allowed.get(name, 1.0) for name, share in asked.items()}
        narrowed = replace(
            self,
            allowed={**self.allowed, **both},
            spreads=narrow_spreads(self.schema, where, spreads=self.spreads),
        )
        narrowed._check_conditions()
        network = self._network()
        share = float(narrowed._cells(network).shares.sum())
        if not share > 0:
            raise InvalidArgument(
                "no row of this sampler meets the conditions together",
                hint="leave one of them out",
            )
        before = float(self._cells(network).shares.sum())
        return replace(narrowed, total=round(self.total * share / before))

    def _check_conditions(self) -> None:
        """Raise InvalidArgument for conditions that cannot be drawn first, one table of them."""
        names = self.layout.attributes
        late = [name for name in self.allowed if names.index(name) >= self.layout.free]
        if late:
            raise InvalidArgument(
                f"{late[0]!r} is a pixel, which cannot have a condition here",
                hint="set conditions on the label or on other attributes",
            )
        cells = math.prod(int(np.count_nonzero(w)) for w in self._condition_weights().values())
        if cells > MOST_CONDITION_CELLS:
            raise InvalidArgument(
                f"the conditions leave {cells} combinations open; "
                f"at most {MOST_CONDITION_CELLS} can be drawn from",
                hint="give fewer or narrower ones, and filter the rows yourself",
            )

    def _network(self) -> Network:
        """Return the network with its weights; raise RunFailed without PyTorch."""
        if find_spec("torch") is None:
            raise RunFailed(
                "this sampler is a neural network, which needs PyTorch to draw from",
                hint="install silosynth[generators]",
            )
        # PyTorch is an extra: only who draws from a network needs it.
        from silosynth.common.sampler.network_draw import load_network

        return load_network(self.architecture, self.layout, self.weights)

    def _writer(self) -> PretrainedNetwork | None:
        """Return what writes texts; None where the network itself does, or none are drawn."""
        if not isinstance(self.architecture, Pretrained) or not self.texts:
            return None
        if self.checkpoint is None:
            raise InvalidArgument(
                "this sampler writes texts with the checkpoint "
                f"{short(self.architecture.checkpoint)}, which is not part of it",
                hint="say in which folder it lies with --checkpoint",
            )
        if not all(map(find_spec, ("transformers", "peft"))):
            raise RunFailed(
                "this sampler writes texts with a pretrained network, which needs transformers",
                hint="install silosynth[pretrained]",
            )
        # An extra, which takes seconds to import: only who draws from such a network needs it.
        from silosynth.common.generator import load_pretrained

        return load_pretrained(
            self.architecture,
            coded_schema(self.schema, self.spreads),
            self.checkpoint,
            self.weights,
        )

    def _condition_weights(self) -> dict[int, np.ndarray]:
        """Return, by position, the share of each working code that meets its condition."""
        return {
            self.layout.attributes.index(name): self._unmerge(name).weights()
            if name in self.grouping.groups
            else mask.astype(np.float64)
            for name, mask in self.allowed.items()
        }

    def _cells(self, network: Network) -> Cells:
        """Return what the attributes with conditions may be together."""
        from silosynth.common.sampler.network_draw import condition_cells  # see above

        return condition_cells(network, self._condition_weights())

    def _draw_batch(
        self,
        network: Network,
        writer: PretrainedNetwork | None,
        cells: Cells,
        *,
        rows: int,
        seed: int,
        batch: int,
    ) -> tuple[np.ndarray, ...]:
        """Draw fine codes, and codes of texts."""
        from silosynth.common.sampler.network_draw import draw_examples  # see above

        words = SeededWords(seed=seed, purpose="generator", index=batch)
        whole = self.texts or self.layout.free < len(self.layout.attributes)
        examples = draw_examples(network, rows=rows, cells=cells, words=words, whole=whole)
        if writer is not None:
            examples = np.concatenate((examples, writer.write(examples, words)), axis=1)
        columns, texts = from_examples(examples, schema=self.schema, layout=self.layout)
        fine = (
            self._unmerge(name).draw(codes, words)
            if name in self.grouping.groups
            else codes.astype(code_dtype(size))
            for name, size, codes in zip(
                self.domain.attributes, self.domain.shape, columns, strict=True
            )
        )
        return (*fine, *(texts if self.texts else ()))

    def _unmerge(self, name: str) -> Unmerge:
        groups = self.grouping.lookup(name, self.domain.size((name,)))
        return Unmerge(groups=groups, ends=self.within[name], allowed=self.allowed.get(name))
