"""What a plan says of persons who are held out of training, and of what is measured on them."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from silosynth.common.digest import NO_DIGEST, Digest
from silosynth.common.plan.fields import Exact, PlanModel

MOST_HELD_OUT = Fraction(1, 2)
Weight = Annotated[int, Field(ge=1, le=2**20)]


class HeldOut(PlanModel):
    """The share of the persons that are held out: the plan's rows are of the others alone.

    Who they are is the silo's to say, by a key of its own. A plan that evaluates asks them alone.
    """

    share: Exact

    @model_validator(mode="after")
    def _most(self) -> Self:
        if self.share > MOST_HELD_OUT:
            raise ValueError(f"share: at most {MOST_HELD_OUT} of the persons are held out")
        return self


class EvaluationSettings(PlanModel):
    """What is asked of the people who were held out, about one sampler: public, and no code.

    ``trained`` is the plan whose sampler it is. ``inputs`` is the digest of all that follows from
    the sampler and from these settings; every silo works it out again. ``rows`` are drawn of the
    sampler to stand for it. ``weights`` scale the counters to one another, so that one noise fits
    all: of halves, likelihood, scores, witnesses and count. ``witness`` are cells, a bit each,
    where releases were above the sampler. ``cuts`` says what bins of scores hold alike: as much of
    both classes, or as many rows where nothing is said, as in plans of before.
    """

    _ABSENT: ClassVar[frozenset[str]] = frozenset({"witness", "cuts"})

    version: Literal[1] = 1
    trained: Digest
    trained_units: int = Field(ge=1, le=2**62, description="what training cost, of 2^-40 rho")
    trained_epsilon: float = Field(gt=0, le=100, description="what training cost, at its delta")
    sampler: Digest
    inputs: Digest
    seed: int = Field(ge=0, lt=2**31)
    rows: int = Field(default=2**17, ge=2**10, le=2**20)
    groups: int = Field(default=8, ge=2, le=16)
    repeats: int = Field(ge=1, le=16, description="random halves of each pair")
    likelihood: bool = Field(description="whether the sampler says how likely a row is")
    clip: int = Field(default=8, ge=1, le=64, description="most nats of gain that a row counts for")
    targets: tuple[str, ...] = Field(default=(), max_length=16)
    bins: int = Field(default=8, ge=2, le=64)
    cuts: Literal["classes"] | None = None
    weights: tuple[Weight, Weight, Weight, Weight, Weight]
    witness: str | None = Field(default=None, max_length=400_000, pattern=r"^[0-9a-f]*$")

    @property
    def of_any(self) -> EvaluationSettings:
        """Return the same settings about no sampler: what epochs of a series have in common."""
        return self.model_copy(
            update={"trained": NO_DIGEST, "trained_units": 1, "trained_epsilon": 1.0}
            | {"sampler": NO_DIGEST, "inputs": NO_DIGEST, "seed": 0}
        )

    @model_validator(mode="after")
    def _targets_once(self) -> Self:
        if len(set(self.targets)) < len(self.targets):
            raise ValueError("targets: one stands twice")
        if self.targets and not self.likelihood:
            raise ValueError("targets: are scored by a sampler that says how likely a row is")
        return self
