"""What the command line says of training: a network, a chance, and the silos' sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from pydantic import ValidationError

from silosynth.common.document import describe_validation
from silosynth.common.errors import InvalidArgument
from silosynth.common.generator.architecture import Architecture, MaskedMlp, Pretrained, Transformer
from silosynth.common.generator.checkpoint_files import short
from silosynth.common.plan.plan import Plan
from silosynth.common.schema.schema import Schema
from silosynth.server.planning.pretrained import PretrainedChoice, plan_pretrained


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


def read_rate(text: str | None) -> Fraction | None:
    """Read ``1/20`` as a chance."""
    if text is None:
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1:
        raise InvalidArgument(f"the rate {text!r} is no chance", hint="write --rate 1/20")
    return rate


def read_sizes(text: str | None) -> dict[str, int] | None:
    """Read ``a=500,b=700`` as the silos' numbers of rows."""
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        return {name.strip(): int(rows) for name, _, rows in pairs}
    except ValueError:
        raise InvalidArgument(
            f"the sizes {text!r} are not numbers of rows", hint="write --sizes north=500,south=700"
        ) from None


def describe_network(plan: Plan) -> Iterator[str]:
    """Say what is trained, and how."""
    how = plan.training
    if how is None:
        return
    phase, learnt = plan.phases[-1], isinstance(how.architecture, Pretrained)
    what = "part of a pretrained network" if learnt else how.architecture.kind
    yield (
        f"a {what} of {phase.cells:,} weights is trained in {how.rounds} rounds "
        f"of {how.local_steps} steps with {how.optimiser.value}, each person in a step with the "
        f"chance {phase.rate}, gradients clipped to {how.clip:g}"
    )
    if isinstance(how.architecture, Pretrained):
        known = how.architecture
        yield (
            f"the checkpoint {short(known.checkpoint)} stays as it is; adapters of rank "
            f"{known.rank} beside {len(known.layers)} of its layers are trained, on at most "
            f"{known.tokens} tokens of a text, and a network of the attributes; silos and whoever "
            "draws texts need a copy of it"
        )
    sizes = "are public" if how.sizes else "come from the noised counts of the phase one-way"
    yield f"the silos' numbers of rows {sizes}"
