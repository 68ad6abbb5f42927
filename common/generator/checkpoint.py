"""A pretrained checkpoint in memory: the only file that knows ``transformers`` and ``peft``.

Nothing is downloaded and no code of a checkpoint runs: a folder is opened that holds links to the
digested files and to nothing else, weights come from safetensors, and the library is told that
there is no network before it is imported.
"""

from __future__ import annotations

import copy
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging

from silosynth.common.errors import InvalidCheckpoint, InvalidPlan, SilosynthError
from silosynth.common.generator.architecture import AdaptedLayer, Pretrained
from silosynth.common.generator.checkpoint_files import checkpoint_files, require_digest

_AT_HAND = 2


class CheckpointTokenizer:
    """The tokenizer of a checkpoint, without special tokens in texts."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.start: int | None = tokenizer.bos_token_id
        self.end: int = tokenizer.eos_token_id

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text; what looks like a special token is text."""
        found = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        tokens: list[int] = found["input_ids"]
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        text: str = self._tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A model with frozen weights in single precision, and what is needed to feed it.

    ``positions`` is how many tokens it reads. The model is shared: :func:`adapted` copies it.
    """

    model: nn.Module
    tokenizer: CheckpointTokenizer
    positions: int
    kind: str

    def gradient_bytes(self, length: int) -> int:
        """Return about what the activations of one row's gradient take, for so many tokens."""
        config = self.model.config
        layer = 24 * config.hidden_size + 3 * config.num_attention_heads * length
        count: int = 4 * length * (config.num_hidden_layers * layer + 4 * self._symbols)
        return count

    def draw_bytes(self, length: int) -> int:
        """Return about what one row takes while it is drawn: keys, values and logits."""
        config = self.model.config
        kept = 2 * config.num_hidden_layers * config.hidden_size
        count: int = 4 * length * (kept + self._symbols) + 32 * self._symbols
        return count

    @property
    def _symbols(self) -> int:
        count: int = self.model.get_input_embeddings().num_embeddings
        return count


@lru_cache(maxsize=_AT_HAND)
def open_checkpoint(folder: Path, digest: str) -> Checkpoint:
    """Return the checkpoint of a digest; kept in memory, once a process.

    Raises InvalidCheckpoint when the folder holds another one, or one that cannot be used.
    """
    require_digest(folder, digest)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with _only_digested(folder) as place, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _load(place, folder)
    except SilosynthError:
        raise
    except Exception as err:
        raise InvalidCheckpoint(
            f"{folder}: transformers cannot open it: {type(err).__name__}",
            hint="it must be a causal language model that this version knows without code of its "
            "own",
        ) from err


def _load(place: Path, folder: Path) -> Checkpoint:
    """Load model and tokenizer from a folder of nothing but digested files."""
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(place, use_fast=True, **local)
    model = AutoModelForCausalLM.from_pretrained(
        place,
        use_safetensors=True,
        dtype=torch.float32,
        attn_implementation="eager",
        **local,
    )
    model.eval()
    model.requires_grad_(False)
    if tokenizer.eos_token_id is None or not tokenizer.is_fast:
        raise InvalidCheckpoint(f"{folder}: its tokenizer has no token that ends a text")
    known = model.get_input_embeddings().num_embeddings
    if max(tokenizer.get_vocab().values()) >= known:
        raise InvalidCheckpoint(f"{folder}: its tokenizer has more tokens than the model knows")
    positions = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 2:
        raise InvalidCheckpoint(f"{folder}: its configuration says not how many tokens it reads")
    if not _looks_back_alone(model):
        raise InvalidCheckpoint(f"{folder}: it does not read from left to right alone")
    return Checkpoint(
        model=model,
        tokenizer=CheckpointTokenizer(tokenizer),
        positions=positions,
        kind=str(model.config.model_type),
    )


def _looks_back_alone(model: nn.Module) -> bool:
    """Say whether a token changes nothing of what is made of those before it: padding stands on it.

    The model reads two rows of tokens of no meaning, which differ in the last.
    """
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[1, 2, 1], [1, 2, 2]]), use_cache=False).logits
    finite = bool(torch.isfinite(logits).all())
    return finite and torch.allclose(logits[0, :2], logits[1, :2], rtol=1e-4, atol=1e-5)


@contextmanager
def _only_digested(folder: Path) -> Iterator[Path]:
    """Yield a folder of links to the files that were digested: nothing else can be opened."""
    with tempfile.TemporaryDirectory(prefix="silosynth-checkpoint-") as name:
        for file, path in checkpoint_files(folder).items():
            (Path(name) / file).symlink_to(path.resolve())
        yield Path(name)


def usual_layers(checkpoint: Checkpoint) -> tuple[AdaptedLayer, ...]:
    """Return the layers that ``peft`` adapts in models of this kind, in the model's order.

    Raises InvalidCheckpoint for a kind of model that it knows no layers of.
    """
    wanted = USUAL.get(checkpoint.kind, ())
    found = tuple(
        layer
        for name, module in checkpoint.model.named_modules()
        if name.rpartition(".")[2] in wanted and (layer := _layer(name, module)) is not None
    )
    if not found:
        raise InvalidCheckpoint(
            f"peft knows no layers to adapt in a model of kind {checkpoint.kind!r}",
            hint="use a checkpoint of a kind such as gpt2, llama or opt",
        )
    return found


def adapted(checkpoint: Checkpoint, architecture: Pretrained) -> nn.Module:
    """Return the model with adapters, whose parameters are those of the adapters alone.

    The frozen weights are shared with all other copies, as buffers, so that nothing trains them.

    Raises InvalidPlan unless the checkpoint has the layers that the architecture names, in order.
    """
    modules = dict(checkpoint.model.named_modules())
    known = [_layer(x.name, modules.get(x.name)) for x in architecture.layers]
    if tuple(known) != architecture.layers:
        raise InvalidPlan(
            "the plan adapts layers that its checkpoint has not",
            hint="make the plan again with 'silosynth plan new --checkpoint'",
        )
    model = _copy(checkpoint.model)
    transposed = isinstance(modules[architecture.layers[0].name], Conv1D)
    config = LoraConfig(
        r=architecture.rank,
        lora_alpha=architecture.scale * architecture.rank,
        target_modules=[x.name for x in architecture.layers],
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=transposed,
    )
    with warnings.catch_warnings():
        # Layers of both kinds in one model: peft sees to it, and says so.
        warnings.simplefilter("ignore")
        inject_adapter_in_model(config, model)
    _freeze(model)
    made = [(n.replace(".default.", "."), tuple(p.shape)) for n, p in model.named_parameters()]
    if made != [(t.name, t.shape) for t in architecture.adapters()]:
        raise InvalidPlan("the plan's layers are named twice, or in another order than they stand")
    return model.eval()


def _layer(name: str, module: nn.Module | None) -> AdaptedLayer | None:
    """Return a linear layer as data; None for any other module."""
    if isinstance(module, Conv1D):
        inputs, outputs = module.weight.shape
        return AdaptedLayer(name=name, inputs=inputs, outputs=outputs)
    if isinstance(module, nn.Linear):
        return AdaptedLayer(name=name, inputs=module.in_features, outputs=module.out_features)
    return None


def _copy(model: nn.Module) -> nn.Module:
    """Return a copy of the modules that shares all weights."""
    shared = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)


def _freeze(model: nn.Module) -> None:
    """Turn all parameters but the adapters' into buffers."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(module, name)
                module.register_buffer(name, parameter.detach(), persistent=False)
