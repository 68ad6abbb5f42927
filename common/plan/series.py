"""What a plan says of the series that it is an epoch of: approved once, asked several times."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from silosynth.common.digest import Digest
from silosynth.common.plan.fields import NAME_PATTERN, PlanModel

MOST_EPOCHS = 400
Units = Annotated[int, Field(ge=1, le=2**62, description="of 2^-40 of zCDP rho")]


class Renewal(PlanModel):
    """The sampler that a plan's takes over what did not move from: handed out before, so public.

    The coordinator's own: nothing that a silo answers hangs on it.
    """

    version: Literal[1] = 1
    trained: Digest
    sampler: Digest


class Series(PlanModel):
    """A template for so many epochs, or one epoch of it.

    Epoch k may be asked from ``first`` plus (k - 1) times ``days`` on. No epoch costs a person more
    than ``epoch_units``, and all of them together no more than ``lifetime_units``. The template has
    no ``epoch`` and no ``before_units``: what the epochs before this one cost a person at most.
    """

    _ABSENT: ClassVar[frozenset[str]] = frozenset({"epoch", "before_units"})

    version: Literal[1] = 1
    name: str = Field(pattern=NAME_PATTERN, max_length=60)
    epochs: int = Field(ge=2, le=MOST_EPOCHS)
    first: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="day of epoch 1, UTC")
    days: int = Field(ge=1, le=3660, description="from one epoch to the next")
    epoch_units: Units
    lifetime_units: Units
    epoch: int | None = Field(default=None, ge=1, le=MOST_EPOCHS)
    before_units: int | None = Field(default=None, ge=0, le=2**62)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self.due(self.epochs)
        if self.lifetime_units < self.epoch_units:
            raise ValueError("lifetime_units: are below the cap of one epoch")
        if (self.epoch is None) != (self.before_units is None):
            raise ValueError("before_units: belong to an epoch, and to no template")
        if self.epoch is None or self.before_units is None:
            return self
        if self.epoch > self.epochs:
            raise ValueError(f"epoch: {self.epoch} is behind the last, {self.epochs}")
        if self.before_units > (self.epoch - 1) * self.epoch_units:
            raise ValueError("before_units: are more than the epochs before may cost")
        return self

    def due(self, epoch: int) -> date:
        """Return the day from which on an epoch may be asked."""
        try:
            return date.fromisoformat(self.first) + timedelta(days=(epoch - 1) * self.days)
        except (ValueError, OverflowError):
            raise ValueError("first: is no day, or the last epoch is after the year 9999") from None

    @property
    def plan_id(self) -> str:
        """Return the id that a plan of this template or epoch has."""
        return self.name if self.epoch is None else f"{self.name}-{self.epoch:03d}"

    @property
    def template(self) -> Series:
        """Return what is the same in every epoch."""
        return self.model_copy(update={"epoch": None, "before_units": None})
