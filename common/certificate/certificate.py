"""The privacy statement as data: numbers that follow from its phases, and what they rest on."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from silosynth.common.accounting import Noise

Conversion = Literal["pld", "cks"]
Trust = Literal["own", "shared"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CertifiedPhase(_Model):
    """What one phase releases: ``marginals`` marginals, each with noise ``sigma2`` ("p/q").

    With a ``rate`` each is a sum of gradients over every person with that chance.
    """

    name: str
    marginals: int = Field(ge=1)
    sigma2: str = Field(pattern=r"^[0-9]+(/[0-9]+)?$")
    bound: int = Field(default=1, ge=1, description="L2 norm of what one row adds at most")
    cells: int | None = Field(default=None, ge=1, description="of a vector with a bound")
    rate: str | None = Field(default=None, pattern=r"^[0-9]+(/[0-9]+)?$")
    rho_units: int = Field(ge=1)

    @property
    def noise(self) -> Noise:
        """Return the noise of each marginal, all shares of it together."""
        rate = Fraction(1) if self.rate is None else Fraction(self.rate)
        return Noise(sigma2=Fraction(self.sigma2), bound=self.bound, rate=rate)


class Overlap(_Model):
    """The cost of a person whose rows are in ``silos`` silos."""

    silos: int = Field(ge=1)
    rho_units: int = Field(ge=1)
    epsilon: float = Field(ge=0)


class Certificate(_Model):
    """What a plan costs one person at most, and what that rests on. Units are 2^-40 of zCDP rho.

    ``epsilon_pld`` is there when every noise scale was fixed in advance; ``alone`` is there in
    shared trust, and is the cost of a silo whose masks failed. ``epsilon_rdp`` is there where
    persons are sampled: zCDP, and so ``rho``, does not know that they are.
    """

    version: Literal[1] = 1
    plan_id: str
    plan_digest: str
    schema_digest: str
    epsilon: float = Field(ge=0)
    delta: float = Field(gt=0, lt=1)
    conversion: Conversion
    epsilon_pld: float | None = Field(default=None, ge=0)
    epsilon_cks: float = Field(ge=0)
    epsilon_rdp: float | None = Field(default=None, ge=0)
    rho_units: int = Field(ge=1)
    rho: str
    unit: str
    rows_per_person: int = Field(ge=1)
    neighbours: str
    trust: Trust
    colluders: int = Field(default=0, ge=0)
    absent: int = Field(default=0, ge=0)
    attempts: int = Field(default=1, ge=1)
    silos: int = Field(ge=1)
    phases: tuple[CertifiedPhase, ...] = Field(min_length=1)
    overlaps: tuple[Overlap, ...] = Field(min_length=1)
    alone: Overlap | None = None
    assumptions: tuple[str, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(p.rho_units for p in self.phases) != self.rho_units:
            raise ValueError("rho_units: is not the sum of the phases")
        if self.epsilon != (self.epsilon_pld if self.conversion == "pld" else self.epsilon_cks):
            raise ValueError("epsilon: is not the one of the conversion")
        if (self.trust != "own") != (self.alone is not None):
            raise ValueError("alone: belongs to shared trust, and to no other")
        return self
