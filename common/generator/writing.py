"""How a language model writes: token after token, drawn by its shares, up to an end or a limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from silosynth.common.generator.networks import one_thread

if TYPE_CHECKING:  # transformers takes seconds to import, and networks do without
    from silosynth.common.generator.checkpoint import Checkpoint

Uniform = Callable[[int], np.ndarray]
"""Returns so many numbers in [0, 1)."""

_MOST_BYTES, _MOST_ROWS = 2**30, 64
"""Of what is held at once, and texts that are written together."""


def continue_tokens(
    model: nn.Module, prompts: torch.Tensor, *, tokens: int, end: int, uniform: Uniform
) -> list[list[int]]:
    """Return what follows each of (rows, length) prompts, up to its end or so many tokens."""
    found = model(input_ids=prompts, use_cache=True)
    rows = np.arange(len(prompts))
    drawn: list[list[int]] = [[] for _ in prompts]
    for step in range(tokens):
        shares = found.logits[:, -1].double().softmax(-1).cumsum(-1)
        chances = torch.from_numpy(uniform(len(rows))).to(shares.device)
        chosen = (shares <= (chances * shares[:, -1])[:, None]).sum(-1)
        symbols = chosen.clamp(max=shares.shape[1] - 1).cpu().numpy()
        going = np.flatnonzero(symbols != end)
        rows, symbols = rows[going], symbols[going]
        for row, token in zip(rows.tolist(), symbols.tolist(), strict=True):
            drawn[row].append(token)
        if not len(rows) or step + 1 == tokens:
            break
        past = found.past_key_values
        if len(going) < len(chosen):
            past.batch_select_indices(torch.from_numpy(going).to(shares.device))
        following = torch.from_numpy(symbols[:, None].astype(np.int64)).to(shares.device)
        found = model(input_ids=following, past_key_values=past, use_cache=True)
    return drawn


def write_variations(
    checkpoint: Checkpoint, lines: Sequence[str], *, most_bytes: int, uniform: Uniform
) -> list[str]:
    """Return a text for each line: a new one where it is empty, else one that begins as it does.

    A text is continued after a quarter to three quarters of its tokens. No token is of less than a
    byte, so a text is never asked to be longer than it may be, nor than the model reads.

    Args: uniform: draws chances; it may raise to stop what takes too long.
    """
    tokenizer = checkpoint.tokenizer
    start = tokenizer.end if tokenizer.start is None else tokenizer.start
    most = checkpoint.positions - 2
    begun = []
    for line in lines:
        known = tokenizer.encode(line)[:most]
        begun.append(known[: round(len(known) * (0.25 + 0.5 * float(uniform(1)[0])))])
    written = [""] * len(lines)
    length = min(checkpoint.positions, most_bytes + 1)
    at_once = min(max(_MOST_BYTES // checkpoint.draw_bytes(length), 1), _MOST_ROWS)
    order = sorted(range(len(lines)), key=lambda place: len(begun[place]))
    with one_thread(), torch.no_grad():
        while order:
            alike = [p for p in order if len(begun[p]) == len(begun[order[0]])][:at_once]
            order = order[len(alike) :]
            prompts = torch.tensor([[start, *begun[p]] for p in alike], dtype=torch.int64)
            room = min(most_bytes, checkpoint.positions - prompts.shape[1])
            follow = continue_tokens(
                checkpoint.model, prompts, tokens=room, end=tokenizer.end, uniform=uniform
            )
            for place, tokens in zip(alike, follow, strict=True):
                written[place] = tokenizer.decode([*begun[place], *tokens])
    return written
