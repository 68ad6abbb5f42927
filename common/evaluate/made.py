"""What is asked of an evaluation, and what is known of how its table was made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from silosynth.common.accounting import RHO_UNIT
from silosynth.common.attacks import Known
from silosynth.common.certificate import Certificate
from silosynth.common.report import Audit, Measure

Tell = Callable[[str], None]


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of an evaluation beyond the two tables."""

    targets: Sequence[str] = ()
    groups: Sequence[str] = ()
    attack: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """What a certificate states; ``mu`` bounds every attack's curve where all noise is normal."""

    epsilon: float
    delta: float
    unit: str
    mu: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """How a table was made, as far as is known.

    ``reuse`` are measures for the last lamp, ``known`` what an attacker may hold beside the table,
    ``audit`` what an audit of the plan found.
    """

    guarantee: Guarantee | None = None
    reuse: tuple[Measure, ...] = ()
    known: Known | None = None
    audit: Audit | None = None


UNKNOWN = Made()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """What a run's directory tells beyond its sampler: all of it post-processing of releases."""

    known: Known
    reuse: tuple[Measure, ...]


OpenRun = Callable[[Path], "Opened | None"]
"""Reads a run's directory again; None where it holds none that can be read."""


def guarantee_of(certificate: Certificate, *, unit: str | None = None) -> Guarantee:
    """Return what a certificate states, in numbers.

    A person's being in or out moves what was released by at most mu = sqrt(2 rho) deviations of
    its noise; where persons are sampled there is no such number.
    """
    sampled = any(p.rate is not None for p in certificate.phases)
    return Guarantee(
        epsilon=certificate.epsilon,
        delta=certificate.delta,
        unit=unit or certificate.unit,
        mu=None if sampled else math.sqrt(2 * certificate.rho_units / RHO_UNIT),
    )
