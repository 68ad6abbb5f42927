"""A scenario: regions with their silos, what happens to them, and what they permit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from silosynth.common.document import describe_validation, load_document
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.plan import Name
from silosynth.common.schema import PlainModel
from silosynth.simulations.world.faults import CoordinatorCrash, Fault
from silosynth.simulations.world.permits import Rules, check_keepable
from silosynth.simulations.world.skewed import Skew
from silosynth.simulations.world.units import Hours, Moment, Offset, Share, Span

SCENARIO_VERSION = 1
MOST_SILOS = 10_000
MOST_SEED = 2**63 - 1
FIRST_YEAR, LAST_YEAR = 1970, 2200
"""A clock may be ten years off, and a run may take a year, and both are dates still."""


class Distribution(StrEnum):
    """How one-way delays spread around their middle."""

    FIXED = "fixed"
    UNIFORM = "uniform"
    NORMAL = "normal"
    LOGNORMAL = "lognormal"


class Link(PlainModel):
    """The way to the coordinator and back, or to the line of the region; a silo's own."""

    delay: Span = Field(default="20ms", validate_default=True, description="one way, the middle")
    jitter: Span = Field(default=0, description="the spread: half width, or standard deviation")
    distribution: Distribution = Distribution.NORMAL
    bandwidth_mbit: float = Field(default=100.0, gt=0, le=1_000_000)
    loss: Share = Field(default=0.0, description="of each message, either way")


class Line(Link):
    """The line between two regions, shared by all silos beyond it: messages queue for it.

    Silos never speak to one another, so a line is used that leads to the coordinator's place.
    """

    regions: tuple[Name, Name]

    def joins(self, one: str, other: str) -> bool:
        """Say whether it leads from one place to another."""
        return {one, other} == set(self.regions)


class Coordinator(PlainModel):
    """Where the coordinator stands: in a region, or at a place of its own."""

    region: Name


class Machine(PlainModel):
    """What a silo computes on."""

    speed: float = Field(default=1.0, gt=0, le=1000, description="2 is twice as fast")


class Clock(PlainModel):
    """How a silo's clock differs from the coordinator's."""

    offset: Offset = Field(default=0, description="ahead, or behind with a minus")
    drift_ppm: float = Field(default=0.0, ge=-100_000, le=100_000)


class Approval(PlainModel):
    """Who approves a plan at a silo, and when that person is at work."""

    by: Literal["policy", "person"] = "policy"
    hours: Hours = "09:00-17:00"
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=("mon", "tue", "wed", "thu", "fri"), min_length=1
    )
    utc_offset: Offset = 0
    takes: Span = Field(default="30m", validate_default=True, description="the middle")
    refuses: bool = False


class Churn(PlainModel):
    """How long a silo stays up and down, on average; both are exponential."""

    up: Span
    down: Span

    @model_validator(mode="after")
    def _not_too_often(self) -> Self:
        if self.up < 60_000_000 or self.down < 1_000_000:
            raise ValueError("up is at least a minute, down at least a second")
        return self


class Numbered(PlainModel):
    """Silos by number: ``prefix`` and 1, 2, 3 and so on."""

    prefix: Name
    count: int = Field(ge=1, le=MOST_SILOS)


def _spelling(value: Any) -> str:
    """Say how silos are written."""
    return "numbered" if isinstance(value, Mapping | Numbered) else "named"


Silos = Annotated[
    Annotated[tuple[Name, ...], Tag("named")] | Annotated[Numbered, Tag("numbered")],
    Discriminator(_spelling),
]


class Lie(StrEnum):
    """What a silo does that lies."""

    NO_NOISE = "no-noise"
    RUBBISH = "rubbish"
    STALE_LEDGER = "stale-ledger"


class Region(PlainModel):
    """Silos that share a link, a machine, a clock, people and rules."""

    silos: Silos
    link: Link = Link()
    machine: Machine = Machine()
    clock: Clock = Clock()
    approval: Approval = Approval()
    churn: Churn | None = None
    rules: Rules = Rules()

    def names(self) -> tuple[str, ...]:
        """Return the silos' names."""
        if isinstance(self.silos, tuple):
            return self.silos
        return tuple(f"{self.silos.prefix}{i + 1}" for i in range(self.silos.count))


class OneSilo(PlainModel):
    """What is different at one silo; the rest is as in its region."""

    link: Link | None = None
    machine: Machine | None = None
    clock: Clock | None = None
    approval: Approval | None = None
    churn: Churn | None = None
    lie: Lie | None = None


class Scenario(PlainModel):
    """A world for a federation. One seed gives one timeline."""

    version: Literal[1] = 1
    name: Name
    description: str = Field(default="", max_length=2000)
    seed: int = Field(default=1, ge=0, le=MOST_SEED)
    starts: Moment = Field(default=datetime(2026, 3, 2, 8, 0, tzinfo=UTC))
    regions: Mapping[Name, Region] = Field(min_length=1, max_length=1000)
    silos: Mapping[Name, OneSilo] = Field(default_factory=dict)
    coordinator: Coordinator | None = None
    between: tuple[Line, ...] = Field(default=(), max_length=10_000)
    faults: tuple[Fault, ...] = Field(default=(), max_length=10_000)
    skew: tuple[Skew, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.starts.tzinfo is None:
            raise ValueError("starts: say the time zone, as in 2026-03-02T08:00:00Z")
        if not FIRST_YEAR <= self.starts.year <= LAST_YEAR:
            raise ValueError(f"starts: a year from {FIRST_YEAR} to {LAST_YEAR} is expected")
        count = sum(_count(r) for r in self.regions.values())
        if count > MOST_SILOS:
            raise ValueError(f"{count} silos are more than {MOST_SILOS}")
        self._check_names()
        self._check_lines()
        bound = {name: region.rules for name, region in self.regions.items() if _count(region)}
        check_keepable(bound, silos=count)
        return self

    def _check_names(self) -> None:
        """Raise ValueError for a silo that stands twice, or is named and not there."""
        homes = self.homes()
        if len(homes) < sum(len(r.names()) for r in self.regions.values()):
            times = Counter(s for r in self.regions.values() for s in r.names())
            twice = next(s for s, count in times.items() if count > 1)
            raise ValueError(f"silo {twice!r} stands in two regions, or twice in one")
        for silo in self.silos:
            if silo not in homes:
                raise ValueError(f"silos: {silo!r} stands in no region")
        for where, names, there in self._named(homes):
            if again := [name for name, times in Counter(names).items() if times > 1]:
                raise ValueError(f"{where}: {again[0]!r} stands twice")
            for name in names:
                if name not in there:
                    raise ValueError(f"{where}: {name!r} is no silo or region of this scenario")

    def _named(
        self, homes: Mapping[str, str]
    ) -> Iterator[tuple[str, tuple[str, ...], Collection[str]]]:
        """Yield where silos or regions are named, and among which they have to be."""
        for i, fault in enumerate(self.faults):
            if not isinstance(fault, CoordinatorCrash):
                yield f"faults: {i}: silos", fault.silos, homes
                yield f"faults: {i}: regions", fault.regions, self.regions
        for i, skew in enumerate(self.skew):
            yield f"skew: {i}: silos", skew.silos, homes

    def _check_lines(self) -> None:
        """Raise ValueError for a line that stands twice, or that no message would take."""
        here = self.coordinator.region if self.coordinator else None
        known: set[frozenset[str]] = set()
        for i, line in enumerate(self.between):
            ends = frozenset(line.regions)
            if here is None:
                raise ValueError("between: say where the coordinator is: coordinator: {region: X}")
            if here not in ends or len(ends) < 2:
                raise ValueError(
                    f"between: {i}: no message takes it: silos speak to the coordinator alone, "
                    f"and that is in {here}"
                )
            if strange := sorted(ends - {here} - set(self.regions)):
                raise ValueError(f"between: {i}: {strange[0]!r} is no region of this scenario")
            if ends in known:
                raise ValueError(f"between: {i}: this line stands twice")
            known.add(ends)

    def line(self, region: str) -> Line | None:
        """Return the line between a region and the coordinator's place, if there is one."""
        if self.coordinator is None:
            return None
        here = self.coordinator.region
        return next((line for line in self.between if line.joins(region, here)), None)

    @property
    def names_silos(self) -> bool:
        """Say whether anything in it is for silos by name, and not for regions or all."""
        faults = (f.silos for f in self.faults if not isinstance(f, CoordinatorCrash))
        return bool(self.silos or any(faults) or any(s.silos for s in self.skew))

    def homes(self) -> dict[str, str]:
        """Return each silo's region."""
        return {s: name for name, region in self.regions.items() for s in region.names()}


def _count(region: Region) -> int:
    """Return the number of a region's silos, without naming them."""
    return region.silos.count if isinstance(region.silos, Numbered) else len(region.silos)


def parse_scenario(data: Any, *, origin: str) -> Scenario:
    """Build a scenario from plain data; raise InvalidArgument naming ``origin`` and the field."""
    if not isinstance(data, Mapping):
        what = "is empty" if data is None else "is no mapping of fields to values"
        raise InvalidArgument(
            f"{origin}: {what}", hint="'silosynth scenario new' writes a scenario to begin with"
        )
    if data.get("version", 1) != SCENARIO_VERSION:
        raise InvalidArgument(
            f"{origin}: version {data['version']!r} is not known", hint=f"use {SCENARIO_VERSION}"
        )
    try:
        return Scenario.model_validate(data)
    except ValidationError as err:
        raise InvalidArgument(
            f"{origin}: {describe_validation(err, data)}",
            hint="'silosynth scenario json-schema' describes the file to an editor",
        ) from err


def load_scenario(path: Path) -> Scenario:
    """Read a scenario from YAML or JSON; raise InvalidArgument naming the file and the field."""
    try:
        data = load_document(path)
    except InvalidSchema as err:
        raise InvalidArgument(err.message, hint=err.hint) from err
    return parse_scenario(data, origin=str(path))


def scenario_json_schema() -> str:
    """Return the JSON Schema of a scenario file, for editors."""
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Scenario.model_json_schema(),
        "title": "silosynth scenario",
    }
    return json.dumps(found, indent=2) + "\n"
