"""The privacy statement as data and in sentences: what follows from its phases, and why."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from silosynth.common.accounting import Noise, rounded_up
from silosynth.common.plan import OF_VALUES, TABLES_PHASES

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

    @property
    def counting(self) -> tuple[CertifiedPhase, ...]:
        """Return the phases that publish counts, of which a row adds one."""
        return tuple(p for p in self.phases if p.bound == 1 and p.rate is None)

    @property
    def cell_noise(self) -> dict[str, float]:
        """Return the noise's variance in a count of each of these, all silos summed."""
        shares = 1 if self.trust == "own" else self.silos - self.colluders - self.absent
        return {
            p.name: float(p.noise.variance(silos=self.silos)) / max(shares, 1)
            for p in self.counting
        }


def plain_words(certificate: Certificate) -> tuple[str, ...]:
    """Return the certificate as sentences for a privacy officer."""
    c = certificate
    return (
        "The guarantee: (epsilon, delta)-differential privacy with epsilon "
        f"{rounded_up(c.epsilon)} and delta {c.delta:g}. Neighbours: {c.neighbours}. "
        f"A row stands for: {c.unit}.",
        f"In other words: a test that, from all that left the silo, wrongly claims to recognise "
        f"1 in 100 people who are not in the data recognises at most {_recognised(c)} in 100 of "
        "those who are.",
        _conversion_words(c),
        *(_phase_words(p) for p in c.phases),
        *trust_words(c),
        *(
            f"A person who is in {o.silos} silos: epsilon {rounded_up(o.epsilon)} at the same "
            "delta."
            for o in c.overlaps
            if 1 < o.silos <= c.silos
        ),
        *c.assumptions,
    )


def _phase_words(phase: CertifiedPhase) -> str:
    """Say what one phase releases."""
    sigma = phase.noise.deviation
    if phase.name in OF_VALUES:
        return (
            f"Phase {phase.name}: {phase.marginals} histograms of one number's values each, every "
            f"count with exact integer noise of standard deviation {sigma:.4g}."
        )
    of_tables = TABLES_PHASES.get(phase.name)
    if of_tables is not None and of_tables.lengths:
        return (
            f"Phase {phase.name}: one histogram of how long persons' counts are, every count with "
            f"exact integer noise of standard deviation {sigma:.4g}."
        )
    if of_tables is not None and of_tables.weighs:
        return (
            f"Phase {phase.name}: all its marginals together as one vector, to which a person with "
            f"all rows below it is weighed down to a norm of at most {phase.bound} T, every count "
            f"with exact integer noise of standard deviation {sigma:.4g} T; T is a whole number "
            "that the coordinator chooses, and changes nothing of the guarantee."
        )
    if phase.bound == 1:
        return (
            f"Phase {phase.name}: {phase.marginals} marginals, each count with exact integer "
            f"noise of standard deviation {sigma:.4g}."
        )
    if phase.rate is not None:
        chance = float(Fraction(phase.rate))
        return (
            f"Phase {phase.name}: {phase.marginals} sums of integer gradients, each row's of norm "
            f"at most {phase.bound}, every entry with exact integer noise of standard deviation "
            f"{sigma:.4g}; each person is in each sum with the chance {chance:.4g}, drawn in "
            "secret."
        )
    return (
        f"Phase {phase.name}: one sum of integer vectors, each of norm at most {phase.bound}, "
        f"every entry with exact integer noise of standard deviation {sigma:.4g}."
    )


def _recognised(certificate: Certificate) -> str:
    """Return the most true positives in 100 at 1 false positive in 100 (Kairouz et al. 2015)."""
    grow = math.exp(min(certificate.epsilon, 700.0))
    most = min(0.01 * grow + certificate.delta, 1 - (1 - certificate.delta - 0.01) / grow, 1.0)
    return rounded_up(100 * most)


def _conversion_words(certificate: Certificate) -> str:
    """Say how epsilon was worked out."""
    cost = f"The cost in the ledger is {certificate.rho} of zCDP rho."
    if certificate.epsilon_rdp is not None:
        return (
            "Every noise scale and chance was fixed in advance, so epsilon is that of the privacy "
            f"loss distribution; the Rényi conversion gives {rounded_up(certificate.epsilon_rdp)}. "
            f"{cost} That counts everybody as in every sum; budgets that are held at a Rényi order "
            "are charged less."
        )
    if certificate.conversion == "pld":
        return (
            f"{cost} Every noise scale was fixed in advance, so epsilon is that of the privacy "
            f"loss distribution; the zCDP conversion gives {rounded_up(certificate.epsilon_cks)}."
        )
    return f"{cost} Noise was chosen during the run, so epsilon is that of the zCDP conversion."


def trust_words(certificate: Certificate) -> tuple[str, ...]:
    """Say who sees what."""
    c = certificate
    if c.alone is None:
        return (
            f"Own noise: each of the {c.silos} silos noises its counts in full before they leave "
            "it, so the guarantee holds against the coordinator and against all other silos.",
        )
    return (
        f"Shared noise: the coordinator sees the sum over {c.silos} silos alone. The guarantee "
        f"holds while at most {c.colluders} silos work with it; the noise is right with up to "
        f"{c.absent} silos absent.",
        *_attempt_words(c),
        f"If the masks of a silo failed, its release alone would cost epsilon "
        f"{rounded_up(c.alone.epsilon)}.",
    )


def _attempt_words(certificate: Certificate) -> tuple[str, ...]:
    """Say how often a sum may be begun, where it may be more than once."""
    if certificate.attempts == 1:
        return ()
    return (
        f"Each phase is paid for {certificate.attempts} times, since a silo that leaves after the "
        "set of participants is signed burns the request.",
    )
