"""How a generator is trained with DP-SGD: data in a plan, and what one request of it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from silosynth.common.digest import Digest, digest_of
from silosynth.common.errors import InvalidPlan
from silosynth.common.generator import Architecture
from silosynth.common.schema import PlainModel

BOUND = 4095
"""The L2 norm that no row's integer gradient exceeds: its square is below 2^24, so that sums of
squares of integers are exact in single precision, whatever their order."""

MOST_ROUNDS = 100_000
MOST_LOCAL_STEPS = 10_000
MOST_STEPS = 100_000
WEIGHT_BYTES = 4
LARGEST_WEIGHT = 1e6
LEAST_CLIP = 1e-6
LARGEST_CLIP = 1e6
"""Between these the scale of a row, BOUND / max(norm, clip), is a moderate single precision number.

Below 1e-35 it is infinite for a row without a gradient, and a coordinate's square may vanish."""

_MAGIC = b"silosynth-weights-1\n"


class Optimiser(StrEnum):
    """What the coordinator makes of noised gradients (shared) or of the silos' updates (own)."""

    SGD = "sgd"
    ADAM = "adam"
    FEDAVG = "fedavg"
    FEDADAM = "fedadam"
    FEDYOGI = "fedyogi"


OF_GRADIENTS = (Optimiser.SGD, Optimiser.ADAM)
OF_UPDATES = (Optimiser.FEDAVG, Optimiser.FEDADAM, Optimiser.FEDYOGI)
Size = Annotated[int, Field(ge=1, le=2**40)]


class TrainingSettings(PlainModel):
    """The network, how often it is asked about, and how its weights move.

    A round is one request to each silo. In own trust a silo takes ``local_steps`` noised steps of
    ``local_learning_rate`` from the coordinator's weights, in shared trust one. ``clip`` is the
    norm to which each row's gradient is scaled down. ``sizes`` are the silos' public numbers of
    rows; without them they come from the noised counts of the phase ``one-way``.
    """

    architecture: Architecture
    seed: int = Field(default=1, ge=0, lt=2**63, description="of the first weights; public")
    rounds: int = Field(ge=1, le=MOST_ROUNDS)
    local_steps: int = Field(default=1, ge=1, le=MOST_LOCAL_STEPS)
    clip: float = Field(default=1.0, ge=LEAST_CLIP, le=LARGEST_CLIP)
    optimiser: Optimiser
    learning_rate: float = Field(gt=0, le=1000)
    local_learning_rate: float | None = Field(default=None, gt=0, le=1000)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    second_moment: float = Field(default=0.99, ge=0, lt=1)
    stabiliser: float = Field(default=1e-6, gt=0, le=1)
    sizes: Mapping[str, Size] = Field(default_factory=dict, max_length=10_000)
    checkpoint_every: int = Field(default=50, ge=1, le=MOST_ROUNDS, description="rounds")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        local = self.optimiser in OF_UPDATES
        if local != (self.local_learning_rate is not None):
            raise ValueError("local_learning_rate: goes with fedavg, fedadam and fedyogi")
        if not local and self.local_steps > 1:
            raise ValueError("local_steps: sgd and adam take one step a round")
        if self.steps > MOST_STEPS:
            raise ValueError(f"rounds: at most {MOST_STEPS} steps in all rounds together")
        return self

    @property
    def steps(self) -> int:
        """Return how many noised sums of gradients a silo is asked for in all."""
        return self.rounds * self.local_steps


class TrainingStep(PlainModel):
    """What one request of training says: the round, from 0, and the weights that it starts from.

    ``batch`` is the public number of rows that a silo's local steps divide their sums by.
    """

    round: int = Field(ge=0, lt=MOST_ROUNDS)
    weights: Digest
    batch: int | None = Field(default=None, ge=1, le=2**40)


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights that a round starts from, (parameters,) little-endian float32, and their name.

    They are hashed once, however many requests carry them.
    """

    data: bytes
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of(self.data))


def check_clip(clip: float) -> None:
    """Raise InvalidPlan unless gradients can be clipped to ``clip``; ask before charging."""
    # A comparison with NaN is false, so this refuses it as well.
    if not LEAST_CLIP <= clip <= LARGEST_CLIP:
        raise InvalidPlan(
            f"training: clip is {clip!r}",
            hint=f"it must be at least {LEAST_CLIP:g} and at most {LARGEST_CLIP:g}",
        )


def scaled_norm(parameters: int) -> int:
    """Return the norm, in whole units, that gradients are scaled down to.

    Rounding to the nearest integer adds about 1/12 for each coordinate to the squared norm. This
    leaves room for 1/8, so that rounding seldom lifts a row above the bound; where it does, the row
    is rounded towards zero, which cannot.
    """
    return math.isqrt(BOUND**2 - parameters // 8 - 2 * BOUND)


def gradient_unit(*, clip: float, parameters: int) -> float:
    """Return what one unit of an integer gradient stands for. Rounding moves each by half at most.

    >>> round(1 / gradient_unit(clip=1.0, parameters=1000))
    4093
    """
    return clip / scaled_norm(parameters)


def frame_weights(header: bytes, weights: bytes) -> bytes:
    """Return a request's JSON with its weights behind it."""
    return b"".join((_MAGIC, len(header).to_bytes(4, "little"), header, weights))


def unframe_weights(data: bytes) -> tuple[bytes, bytes | None]:
    """Return a request's JSON and its weights, None where it has none.

    Raises InvalidPlan when the frame is cut off.
    """
    if not data.startswith(_MAGIC):
        return data, None
    start = len(_MAGIC) + 4
    length = int.from_bytes(data[len(_MAGIC) : start], "little")
    if len(data) < start or length > len(data) - start:
        raise InvalidPlan("request: its header is cut off")
    return data[start : start + length], data[start + length :]


def read_weights(data: bytes | None, *, parameters: int) -> np.ndarray:
    """Return (parameters,) float32, the weights that a round starts from.

    Raises InvalidPlan unless there are as many and all are moderate numbers.
    """
    if data is None or len(data) != WEIGHT_BYTES * parameters:
        raise InvalidPlan(f"the request does not carry {parameters} float32 weights")
    weights = np.frombuffer(data, dtype="<f4").astype(np.float32)
    # A comparison with NaN is false, so this refuses it as well.
    if not bool((np.abs(weights) <= LARGEST_WEIGHT).all()):
        raise InvalidPlan(
            f"a weight is not a number of at most {LARGEST_WEIGHT:g}",
            hint="training diverged; lower the learning rate",
        )
    return weights


def encode_weights(weights: np.ndarray) -> Weights:
    """Return (parameters,) weights as they travel."""
    return Weights(weights.astype("<f4").tobytes())
