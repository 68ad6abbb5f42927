"""What the command line says of training: a network, a chance, and the silos' sizes."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from fractions import Fraction

from pydantic import ValidationError

from silosynth.common.architecture import MaskedMlp, Transformer
from silosynth.common.document import describe_validation
from silosynth.common.errors import InvalidArgument
from silosynth.common.plan import Plan


class NetworkKind(StrEnum):
    """The kinds of network that a generator may be."""

    MASKED_MLP = "masked-mlp"
    TRANSFORMER = "transformer"


def read_network(
    kind: NetworkKind | None, *, width: int | None, layers: int | None
) -> MaskedMlp | Transformer | None:
    """Return the network that was asked for; None where nothing was said of it."""
    if kind is None and width is None and layers is None:
        return None
    chosen = {k: v for k, v in (("width", width), ("layers", layers)) if v is not None}
    model = Transformer if kind is NetworkKind.TRANSFORMER else MaskedMlp
    try:
        return model.model_validate(chosen)
    except ValidationError as err:
        raise InvalidArgument(f"the network: {describe_validation(err, chosen)}") from err


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
    phase = plan.phases[-1]
    yield (
        f"a {how.architecture.kind} of {phase.cells:,} weights is trained in {how.rounds} rounds "
        f"of {how.local_steps} steps with {how.optimiser.value}, each person in a step with the "
        f"chance {phase.rate}, gradients clipped to {how.clip:g}"
    )
    sizes = "are public" if how.sizes else "come from the noised counts of the phase one-way"
    yield f"the silos' numbers of rows {sizes}"
