"""The architecture of a generator: data in a plan, never code, with its exact size.

All kinds learn the probability of an example code by code, each given some of the others, in any
order (Uria, Murray and Larochelle 2014; Hoogeboom et al. 2022, "Autoregressive diffusion models").
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from silosynth.common.codec import END, Layout
from silosynth.common.digest import Digest
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.schema import PlainModel

MOST_PARAMETERS = 2**26
MOST_ATTENTION = 2**27
"""Numbers that attention holds for one example: each position's weight for each before it."""

_SPREAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One array of parameters; it starts at ``value`` plus normal numbers times ``spread``.

    With ``is_text`` it is the bias of a text's symbols, and starts at what texts hold as a rule:
    see :data:`TEXT_SHARES`.
    """

    name: str
    shape: tuple[int, ...]
    value: float = 0.0
    spread: float = 0.0
    is_text: bool = False

    @property
    def size(self) -> int:
        """Return the number of parameters, as a Python integer."""
        return math.prod(self.shape)


class MaskedMlp(PlainModel):
    """A network that sees some codes of a row and predicts all others at once.

    It adds up what it sees, so every position has codes of its own, pixels of one image too.
    ``views`` is how many masks each example is learnt under at every step; more make a step slower
    and its gradient steadier.
    """

    kind: Literal["masked-mlp"] = "masked-mlp"
    width: int = Field(default=128, ge=4, le=2048)
    layers: int = Field(default=2, ge=1, le=12)
    views: int = Field(default=4, ge=1, le=64)

    def inputs(self, layout: Layout) -> tuple[int, ...]:
        """Return the number of codes at each position; raise InvalidPlan for a text."""
        if layout.texts:
            raise InvalidPlan("a masked-mlp cannot learn texts", hint="use kind transformer")
        return layout.sizes

    def tensors(self, layout: Layout) -> tuple[Tensor, ...]:
        """Return the parameters in their order: the order of a vector of all of them."""
        sizes = self.inputs(layout)
        spread = 1 / math.sqrt(len(sizes))
        rows = sum(sizes) + len(sizes)
        tensors = [Tensor(name="codes.weight", shape=(rows, self.width), spread=spread)]
        for i in range(self.layers):
            tensors += _norm(f"layers.{i}.norm", self.width)
            tensors += _linear(f"layers.{i}.up", self.width, self.width)
            tensors += _linear(f"layers.{i}.down", self.width, self.width, depth=self.layers)
        tensors += _norm("norm", self.width)
        tensors += _linear("head", self.width, sum(sizes), spread=_SPREAD)
        return tuple(tensors)

    def parameters(self, layout: Layout) -> int:
        """Return the exact number of parameters; raise CapExceeded above MOST_PARAMETERS."""
        return _count(self.tensors(layout))


class Transformer(PlainModel):
    """A causal transformer over the codes of an example, in an order that it is told.

    Every code carries where it stands and where the next one to predict stands, so that one
    network serves all orders (Pannatier, Courdier and Fleuret 2024, sigma-GPT). Pixels and texts
    are told of the label and of all other attributes at every step, not by attention alone: see
    docs/decisions/029.
    """

    kind: Literal["transformer"] = "transformer"
    width: int = Field(default=64, ge=4, le=1024)
    layers: int = Field(default=2, ge=1, le=12)
    heads: int = Field(default=4, ge=1, le=16)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        return self

    def inputs(self, layout: Layout) -> tuple[int, ...]:
        """Return the number of codes at each position; raise CapExceeded for too many positions."""
        attention = self.layers * self.heads * layout.positions**2
        if attention > MOST_ATTENTION:
            raise CapExceeded(
                f"attention over {layout.positions} positions would hold {attention} numbers; at "
                f"most {MOST_ATTENTION} are allowed",
                hint="shorten the texts, or use fewer heads and layers",
            )
        return layout.sizes

    def tensors(self, layout: Layout) -> tuple[Tensor, ...]:
        """Return the parameters in their order: the order of a vector of all of them."""
        width, places = self.width, len(self.inputs(layout))
        codes = sum(layout.vocabulary_sizes)
        rows = {"codes": codes + 1, "places": places + 1, "targets": places}
        if 0 < layout.free < layout.positions:
            rows["conditions"] = sum(layout.sizes[: layout.free])
        tensors = [
            Tensor(name=f"{name}.weight", shape=(count, width), spread=0.3)
            for name, count in rows.items()
        ]
        for i in range(self.layers):
            tensors += _norm(f"layers.{i}.before", width)
            tensors += _linear(f"layers.{i}.mix", width, 3 * width)
            tensors += _linear(f"layers.{i}.out", width, width, depth=self.layers)
            tensors += _norm(f"layers.{i}.norm", width)
            tensors += _linear(f"layers.{i}.up", width, 4 * width)
            tensors += _linear(f"layers.{i}.down", 4 * width, width, depth=self.layers)
        tensors += _norm("norm", width)
        texts = {layout.vocabularies[start] for start, _ in layout.texts}
        for i, size in enumerate(layout.vocabulary_sizes):
            weight, bias = _linear(f"heads.{i}", width, size, spread=_SPREAD)
            tensors += (weight, replace(bias, is_text=i in texts))
        return tuple(tensors)

    def parameters(self, layout: Layout) -> int:
        """Return the exact number of parameters; raise CapExceeded above MOST_PARAMETERS."""
        return _count(self.tensors(layout))


class AdaptedLayer(PlainModel):
    """A linear layer of a checkpoint that gets an adapter, by the name that it has there."""

    name: str = Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", max_length=200)
    inputs: int = Field(ge=1, le=2**20)
    outputs: int = Field(ge=1, le=2**20)


class Pretrained(PlainModel):
    """A causal language model that was trained before, on other texts, and learns by adapters.

    ``checkpoint`` is the digest of its files, which are public and stay as they are. What is
    learnt, clipped and noised are the adapters, two thin matrices beside each layer (Hu et al.
    2021, "LoRA"), and ``table``, which learns the attributes. Those stand before the text as its
    control code (Yue et al. 2022). ``tokens`` is how much of a text is learnt.
    """

    kind: Literal["pretrained"] = "pretrained"
    checkpoint: Digest
    layers: tuple[AdaptedLayer, ...] = Field(min_length=1, max_length=4096)
    rank: int = Field(default=4, ge=1, le=256)
    scale: float = Field(default=2.0, gt=0, le=1000, description="what adapters are multiplied by")
    tokens: int = Field(ge=1, le=8192)
    table: MaskedMlp = MaskedMlp(width=16, layers=1, views=4)

    def table_layout(self, layout: Layout) -> Layout:
        """Return the layout of the attributes; raise InvalidPlan for what cannot be learnt."""
        if len(layout.texts) != 1 or layout.free < len(layout.attributes):
            raise InvalidPlan(
                "a pretrained network learns one text and no images",
                hint="use kind transformer, or leave the others out of the schema",
            )
        if not layout.free:
            raise InvalidPlan(
                "a pretrained network needs an attribute that stands before the text",
                hint="declare a label, or use kind transformer",
            )
        return Layout(
            attributes=layout.attributes,
            sizes=layout.sizes[: layout.free],
            vocabularies=layout.vocabularies[: layout.free],
            free=layout.free,
        )

    def inputs(self, layout: Layout) -> tuple[int, ...]:
        """Return the number of codes of each attribute."""
        return self.table_layout(layout).sizes

    def tensors(self, layout: Layout) -> tuple[Tensor, ...]:
        """Return the parameters in their order: the table's, then the adapters'."""
        return (*self.table.tensors(self.table_layout(layout)), *self.adapters())

    def adapters(self) -> Iterator[Tensor]:
        """Yield the two matrices beside each layer; the second starts at zero, as does their sum.

        Source: Hu et al. 2021, section 4.1.
        """
        for layer in self.layers:
            down, up = (self.rank, layer.inputs), (layer.outputs, self.rank)
            spread = 1 / math.sqrt(layer.inputs)
            yield Tensor(name=f"{layer.name}.lora_A.weight", shape=down, spread=spread)
            yield Tensor(name=f"{layer.name}.lora_B.weight", shape=up)

    def parameters(self, layout: Layout) -> int:
        """Return the exact number of parameters; raise CapExceeded above MOST_PARAMETERS."""
        return _count(self.tensors(layout))


Architecture = Annotated[MaskedMlp | Transformer | Pretrained, Field(discriminator="kind")]


def output_biases(
    architecture: Architecture, layout: Layout
) -> Iterator[tuple[tuple[str, ...], slice]]:
    """Yield where biases of logits stand in a vector, and the attributes whose logits they are.

    Pixels of a transformer share theirs; biases of texts have no attribute.
    """
    start = 0
    for tensor in architecture.tensors(layout):
        if tensor.name == "head.bias":
            ends = accumulate(layout.sizes, initial=start)
            for name, place in zip(layout.attributes, pairwise(ends), strict=False):
                yield (name,), slice(*place)
        elif tensor.name.startswith("heads.") and tensor.name.endswith(".bias"):
            vocabulary = int(tensor.name.split(".")[1])
            known = zip(layout.attributes, layout.vocabularies, strict=False)
            yield tuple(a for a, v in known if v == vocabulary), slice(start, start + tensor.size)
        start += tensor.size


def bias_slices(architecture: Architecture, layout: Layout) -> dict[str, slice]:
    """Return, for each attribute with logits of its own, where their biases stand in a vector."""
    return {
        names[0]: place for names, place in output_biases(architecture, layout) if len(names) == 1
    }


TEXT_SHARES: tuple[tuple[str, float], ...] = (
    (" ", 0.17),
    ("abcdefghijklmnopqrstuvwxyz", 0.65),
    ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 0.05),
    ("0123456789", 0.04),
    ("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", 0.06),
)
"""What share of a text each kind of character has, roughly and for no text in particular. The
rest is shared by the end and all other bytes. Without it, noise must be outweighed to learn
that most bytes hardly occur."""


def text_biases() -> tuple[float, ...]:
    """Return the logarithms of the shares of all 256 bytes and of the end of a text."""
    rest = 1 - sum(share for _, share in TEXT_SHARES)
    known = {ord(c): share / len(kind) for kind, share in TEXT_SHARES for c in kind}
    known[END] = rest / 2
    others = END + 1 - len(known)
    return tuple(math.log(known.get(code, rest / 2 / others)) for code in range(END + 1))


def _linear(
    name: str, inputs: int, outputs: int, *, depth: int = 0, spread: float | None = None
) -> Iterator[Tensor]:
    """Yield weight and bias; what ends a residual branch starts smaller, by ``depth``."""
    if spread is None:
        spread = 1 / math.sqrt(inputs * max(2 * depth, 1))
    yield Tensor(name=f"{name}.weight", shape=(outputs, inputs), spread=spread)
    yield Tensor(name=f"{name}.bias", shape=(outputs,))


def _norm(name: str, width: int) -> Iterator[Tensor]:
    yield Tensor(name=f"{name}.weight", shape=(width,), value=1.0)
    yield Tensor(name=f"{name}.bias", shape=(width,))


def _count(tensors: tuple[Tensor, ...]) -> int:
    count = sum(t.size for t in tensors)
    if count > MOST_PARAMETERS:
        raise CapExceeded(
            f"the network would have {count} parameters; at most {MOST_PARAMETERS} are allowed",
            hint="make it narrower, or give large attributes fewer bins or categories",
        )
    return count
