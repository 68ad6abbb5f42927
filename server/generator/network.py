"""Which network is trained: as the command line says, or worked out from a local checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from silosynth.common.codec import layout_of, modelled_texts
from silosynth.common.document import describe_validation
from silosynth.common.errors import InvalidArgument
from silosynth.common.generator import (
    Architecture,
    MaskedMlp,
    Pretrained,
    Transformer,
    digest_checkpoint,
)
from silosynth.common.schema import Schema

RANK = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedChoice:
    """What a person may choose. Without ``tokens``, texts are learnt up to their ``max_bytes``."""

    checkpoint: Path
    rank: int | None = None
    tokens: int | None = None


def plan_pretrained(schema: Schema, choice: PretrainedChoice) -> Pretrained:
    """Return the architecture: the checkpoint by its digest, and what is adapted in it.

    Raises InvalidCheckpoint for a folder that cannot be used, InvalidPlan for a schema or a text
    that does not fit it, InvalidArgument without the extra.
    """
    if not all(map(find_spec, ("transformers", "peft", "torch"))):
        raise InvalidArgument(
            "a plan for a pretrained network is made from its checkpoint, which needs transformers",
            hint="install silosynth[pretrained]",
        )
    # An extra, which takes seconds to import: only such a plan needs it.
    from silosynth.common.generator import PretrainedNetwork, open_checkpoint, usual_layers

    digest = digest_checkpoint(choice.checkpoint)
    checkpoint = open_checkpoint(choice.checkpoint, digest)
    longest = max(modelled_texts(schema).values(), default=1)
    architecture = Pretrained(
        checkpoint=digest,
        layers=usual_layers(checkpoint),
        tokens=choice.tokens or longest,
        rank=RANK if choice.rank is None else choice.rank,
    )
    architecture.inputs(layout_of(schema))
    PretrainedNetwork(architecture, schema, checkpoint).require_gradients()
    return architecture


class NetworkKind(StrEnum):
    """The kinds of network that a generator may be."""

    MASKED_MLP = "masked-mlp"
    TRANSFORMER = "transformer"
    PRETRAINED = "pretrained"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """What the command line says of a network; None where it says nothing."""

    kind: NetworkKind | None = None
    width: int | None = None
    layers: int | None = None
    checkpoint: Path | None = None
    rank: int | None = None
    tokens: int | None = None


def read_network(options: NetworkOptions, schema: Schema) -> Architecture | None:
    """Return the network that was asked for; None where nothing was said of it."""
    kind, width, layers = options.kind, options.width, options.layers
    pretrained = (options.checkpoint, options.rank, options.tokens)
    if kind is NetworkKind.PRETRAINED:
        return _read_pretrained(options, schema)
    if any(value is not None for value in pretrained):
        raise InvalidArgument(
            "--checkpoint, --lora-rank and --text-tokens belong to a pretrained network",
            hint="add --network pretrained, or leave them out",
        )
    if kind is None and width is None and layers is None:
        return None
    chosen = {k: v for k, v in (("width", width), ("layers", layers)) if v is not None}
    model = Transformer if kind is NetworkKind.TRANSFORMER else MaskedMlp
    try:
        return model.model_validate(chosen)
    except ValidationError as err:
        raise InvalidArgument(f"the network: {describe_validation(err, chosen)}") from err


def _read_pretrained(options: NetworkOptions, schema: Schema) -> Pretrained:
    """Return the network that a checkpoint and a schema make."""
    if options.checkpoint is None:
        raise InvalidArgument(
            "a pretrained network starts from a checkpoint",
            hint="name its folder with --checkpoint",
        )
    if options.width is not None or options.layers is not None:
        raise InvalidArgument(
            "the width and the layers of a pretrained network are those of its checkpoint",
            hint="leave --width and --layers out; --lora-rank sizes what is learnt",
        )
    choice = PretrainedChoice(
        checkpoint=options.checkpoint, rank=options.rank, tokens=options.tokens
    )
    try:
        return plan_pretrained(schema, choice)
    except ValidationError as err:
        given = {"rank": options.rank, "tokens": options.tokens}
        raise InvalidArgument(f"the network: {describe_validation(err, given)}") from err
