"""Tiny pretrained checkpoints that tests make themselves: two layers, a tokenizer of byte pairs.

The libraries are imported when one is made: that takes seconds, and all tests are collected by each
worker.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END = "<|endoftext|>"
TEXTS = ("see you later", "win a prize now", "kind: spam | kind: ham") * 4


def make_checkpoint(
    folder: Path, *, kind: str = "gpt2", positions: int = 96, seed: int = 0
) -> Path:
    """Write a checkpoint of random weights as ``save_pretrained`` does, and return its folder."""
    import silosynth.common.generator.checkpoint  # noqa: F401, I001  # first: it takes the network away
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    ends = {"bos_token_id": 0, "eos_token_id": 0, "vocab_size": len(tokenizer)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "gpt2":
            model = GPT2LMHeadModel(
                GPT2Config(n_positions=positions, n_embd=32, n_layer=2, n_head=4, **ends)
            )
        else:
            model = LlamaForCausalLM(
                LlamaConfig(
                    hidden_size=32,
                    intermediate_size=64,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    num_key_value_heads=2,
                    max_position_embeddings=positions,
                    **ends,
                )
            )
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    found.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=found, bos_token=END, eos_token=END)
