"""The architecture of a pretrained network, worked out from a local checkpoint and a schema."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from silosynth.common.codec.examples import layout_of, modelled_texts
from silosynth.common.errors import InvalidArgument
from silosynth.common.generator.architecture import Pretrained
from silosynth.common.generator.checkpoint_files import digest_checkpoint
from silosynth.common.schema.schema import Schema

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
    from silosynth.common.generator.checkpoint import open_checkpoint, usual_layers
    from silosynth.common.generator.pretrained_network import PretrainedNetwork

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
