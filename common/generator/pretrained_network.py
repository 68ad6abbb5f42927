"""A pretrained language model with adapters, beside the table's network: one loss for each row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from silosynth.common.codec import layout_of
from silosynth.common.errors import InvalidCheckpoint
from silosynth.common.generator.architecture import Pretrained
from silosynth.common.generator.checkpoint import Checkpoint, adapted, open_checkpoint
from silosynth.common.generator.networks import MaskedMlpNetwork, load_vector, one_thread
from silosynth.common.generator.tokens import TextTokens
from silosynth.common.generator.writing import continue_tokens
from silosynth.common.schema import Schema
from silosynth.common.seeded import SeededWords

_MOST_BYTES = 2**30
"""Of what is held at once for the rows of a microbatch, or of a batch that is drawn."""

_MOST_LEARNT, _MOST_DRAWN = 16, 256
"""Rows at once. Microbatches are always filled up, so that large ones would be mostly filling."""


class PretrainedNetwork(nn.Module):
    """Learn the attributes by a masked MLP, and the text by adapters, given its control code."""

    def __init__(self, architecture: Pretrained, schema: Schema, checkpoint: Checkpoint) -> None:
        """Build it with weights that are not set; raise InvalidPlan where text does not fit."""
        super().__init__()
        layout = layout_of(schema)
        self.table = MaskedMlpNetwork(architecture.table, architecture.table_layout(layout))
        self.free, self.positions = layout.free, layout.positions
        self.tokens = TextTokens(checkpoint.tokenizer, schema, tokens=architecture.tokens)
        self.tokens.require_room(checkpoint.positions)
        self.model = adapted(checkpoint, architecture)
        self.end = checkpoint.tokenizer.end
        learnt = _MOST_BYTES // checkpoint.gradient_bytes(self.tokens.length)
        drawn = _MOST_BYTES // checkpoint.draw_bytes(self.tokens.length)
        self.rows_learnt = min(max(learnt, 1), _MOST_LEARNT)
        self.rows_drawn = min(max(drawn, 1), _MOST_DRAWN)

    @property
    def draws(self) -> int:
        """Return how many uniform numbers in [0, 1) one example takes."""
        return self.table.draws

    def prepare(self, examples: np.ndarray) -> np.ndarray:
        """Return (rows, free + 2 length) int64: codes of attributes, tokens, and what is learnt."""
        inputs, targets = self.tokens.rows(examples)
        parts = [examples[:, : self.free].astype(np.int64), inputs, targets]
        return np.concatenate(parts, axis=1)

    def forward(self, prepared: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Return (n,) the negative log-likelihoods of prepared rows, in nats.

        Padding stands at the end, where a causal model does not look back from, so that it needs
        no mask.
        """
        length = self.tokens.length
        codes, inputs, targets = prepared.split((self.free, length, length), dim=-1)
        logits = self.model(input_ids=inputs, use_cache=False).logits[:, :-1]
        learnt = targets[:, 1:]
        chosen = logits.log_softmax(-1).gather(-1, learnt.clamp(min=0)[..., None]).squeeze(-1)
        wrong: torch.Tensor = -(chosen * (learnt >= 0)).sum(-1)
        return self.table(codes, uniform) + wrong

    def require_gradients(self) -> None:
        """Raise InvalidCheckpoint unless gradients of single rows can be taken of such a model.

        It is tried on rows of zeros, so that no round fails on it after it was charged.
        """
        parameters = {name: value.detach() for name, value in self.named_parameters()}

        def loss(
            weights: dict[str, torch.Tensor], codes: torch.Tensor, uniform: torch.Tensor
        ) -> torch.Tensor:
            found: torch.Tensor = functional_call(self, weights, (codes[None], uniform[None]))
            return found[0]

        codes = torch.from_numpy(self.prepare(np.zeros((2, self.positions), dtype=np.int64)))
        uniform = torch.zeros((2, self.draws))
        try:
            with one_thread():
                vmap(grad(loss), in_dims=(None, 0, 0))(parameters, codes, uniform)
        except Exception as err:
            raise InvalidCheckpoint(
                "gradients of single rows cannot be taken of the checkpoint's kind of model",
                hint="use one of another kind, such as gpt2 or llama",
            ) from err

    def write(self, codes: np.ndarray, words: SeededWords) -> np.ndarray:
        """Return (rows, max_bytes) uint16 texts of rows that have (rows, free) codes.

        Rows whose control codes have as many tokens are written together, so none is padded.
        """
        prompts = [self.tokens.prompt(row) for row in codes]
        lengths = np.array([len(p) for p in prompts])
        drawn: list[list[int]] = [[] for _ in prompts]
        with one_thread(), torch.no_grad():
            for length in np.unique(lengths):
                places = np.flatnonzero(lengths == length)
                for start in range(0, len(places), self.rows_drawn):
                    some = places[start : start + self.rows_drawn].tolist()
                    for place, tokens in zip(
                        some, self._continue([prompts[p] for p in some], words), strict=True
                    ):
                        drawn[place] = tokens
        return self.tokens.texts(drawn)

    def _continue(self, prompts: Sequence[list[int]], words: SeededWords) -> list[list[int]]:
        """Return tokens that follow prompts of one length, up to the end or the plan's limit."""
        return continue_tokens(
            self.model,
            self._send(prompts),
            tokens=self.tokens.tokens,
            end=self.end,
            uniform=words.uniform,
        )

    def _send(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        device = self.table.codes.weight.device
        return torch.tensor(tokens, dtype=torch.int64, device=device)


def load_pretrained(
    architecture: Pretrained, schema: Schema, folder: Path, weights: np.ndarray
) -> PretrainedNetwork:
    """Return the network with its weights, on a GPU when there is one.

    Raises InvalidCheckpoint unless the folder holds the architecture's checkpoint.
    """
    checkpoint = open_checkpoint(folder, architecture.checkpoint)
    network = PretrainedNetwork(architecture, schema, checkpoint)
    load_vector(network, weights)
    network.requires_grad_(False)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    return network
