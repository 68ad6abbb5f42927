"""The facts of an evaluation by people who were held out; differentially private, all of them."""

from __future__ import annotations

from pydantic import Field

from silosynth.common.report.evaluation import Axis, Better, Lamp, Measure
from silosynth.common.report.terms import Cost, Facts, Label, Number


class Interval(Facts):
    """An estimate with the ends of its interval; null where so many people cannot tell."""

    value: Number | None
    low: Number | None
    high: Number | None


class HeldArea(Facts):
    """How well the sampler's own posterior ranks people by one target."""

    target: Label
    auc: Interval


class HeldFacts(Facts):
    """What people held out say: those of all silos, or of the one that is named.

    ``near`` is how many people's random sample is as close, ``distance`` null where too few people
    were asked, ``independent`` the distance of columns that know nothing of one another.
    """

    silo: Label | None = None
    people: Interval
    near: Interval
    distance: Interval | None = None
    independent: Number
    gain: Interval | None = None
    areas: tuple[HeldArea, ...] = ()


class Candidate(Facts):
    """Another sampler that was judged by the same release. ``near`` is null where none can say."""

    name: Label
    sampler: Label
    near: Number | None
    distance: Interval | None = None


class HeldOutFacts(Facts):
    """What one release of people held out says, whoever was judged by it, and what it cost them.

    ``silos`` is empty where silos share their noise: a sum cannot be taken apart.
    """

    plan: Label
    plan_digest: str
    epsilon: Cost
    delta: Number
    trust: str
    lamps: tuple[Lamp, ...] = Field(min_length=4, max_length=4)
    sentences: tuple[str, ...]
    whole: HeldFacts
    silos: tuple[HeldFacts, ...] = ()
    candidates: tuple[Candidate, ...] = ()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Return the numbers that a gate may name; one that nobody can tell is not among them."""
        return held_measures(self.whole)


def held_measures(found: HeldFacts) -> tuple[Measure, ...]:
    """Return what people held out say as measures: those that so many people can tell."""
    low, high = Better.LOW, Better.HIGH
    kinds: list[tuple[Axis, str, str | None, Interval | None, float | None, Better]] = [
        (Axis.FIDELITY, "people", None, found.people, None, high),
        (Axis.FIDELITY, "distance", None, found.distance, found.independent, low),
        (Axis.FIDELITY, "gain", None, found.gain, 0.0, high),
        *((Axis.UTILITY, "auc", a.target, a.auc, 0.5, high) for a in found.areas),
    ]
    if found.distance is not None:
        kinds.insert(1, (Axis.FIDELITY, "n_eq", None, found.near, None, high))
    return tuple(
        Measure(
            axis=axis,
            name=name,
            target=target,
            value=interval.value,
            floor=floor,
            low=interval.low,
            high=interval.high,
            better=better,
        )
        for axis, name, target, interval, floor, better in kinds
        if interval is not None and interval.value is not None
    )
