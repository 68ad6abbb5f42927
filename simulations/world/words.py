"""A scenario in words: all that its file says, for people who look before they run."""

from __future__ import annotations

from collections.abc import Iterator

from silosynth.simulations.world.faults import CoordinatorCrash, Crash, Fault, Loss, Stall
from silosynth.simulations.world.permits import Rules
from silosynth.simulations.world.scenario import (
    Approval,
    Churn,
    Clock,
    Distribution,
    Link,
    Machine,
    OneSilo,
    Region,
    Scenario,
)
from silosynth.simulations.world.skewed import Skew
from silosynth.simulations.world.units import spell_span

Rows = list[tuple[str, ...]]


def described(scenario: Scenario) -> Iterator[tuple[str, tuple[str, ...], Rows]]:
    """Yield tables that say all of a scenario: a title, a header and rows; none is empty."""
    begins = f"{scenario.starts:%a %Y-%m-%d %H:%M %Z}"
    here = scenario.coordinator.region if scenario.coordinator else "a place of its own"
    tables: tuple[tuple[str, tuple[str, ...], Rows], ...] = (
        (
            f"scenario {scenario.name}, seed {scenario.seed}, from {begins}",
            ("region", "silos", "one-way delay, bandwidth", "approves", "unusual", "rules"),
            [_region(name, region) for name, region in scenario.regions.items()],
        ),
        (
            "what is different at one silo",
            ("silo", "how"),
            [(silo, "; ".join(_differs(one))) for silo, one in scenario.silos.items()],
        ),
        (
            f"lines, each shared by a region's silos; the coordinator is in {here}",
            ("between", "one-way delay, bandwidth"),
            [(" - ".join(line.regions), _link(line)) for line in scenario.between],
        ),
        (
            "what happens",
            ("what", "to", "when", "how"),
            [(f.kind, f.whom, _when(f), "; ".join(_how(f))) for f in scenario.faults],
        ),
        (
            "how tables differ",
            ("skew", "whose", "how"),
            [(s.kind, ", ".join(s.silos) or "all", _skew(s)) for s in scenario.skew],
        ),
    )
    yield from (table for table in tables if table[-1])


def _region(name: str, region: Region) -> tuple[str, ...]:
    """Return a region's silos, link, people, what is unusual of it, and its rules."""
    return (
        name,
        str(len(region.names())),
        _link(region.link),
        _approval(region.approval),
        "; ".join(_unusual(region)) or "none",
        "; ".join(_rules(region.rules)) or "none",
    )


def _link(link: Link) -> str:
    """Say how far away, how broad and how bad a link is."""
    words = f"{spell_span(link.delay)} ± {spell_span(link.jitter)}"
    if link.jitter and link.distribution is not Distribution.FIXED:
        words += f" ({link.distribution.value})"
    words += f", {link.bandwidth_mbit:g} Mbit/s"
    return f"{words}, loses {link.loss:.3g} of all messages" if link.loss else words


def _approval(approval: Approval) -> str:
    """Say who approves, and when."""
    if approval.by == "policy":
        return "policy"
    words = f"person, {approval.hours} on {', '.join(approval.days)}"
    if approval.utc_offset:
        words += f", {spell_span(approval.utc_offset)} from UTC"
    words += f", takes {spell_span(approval.takes)}"
    return f"{words}, and refuses" if approval.refuses else words


def _churn(churn: Churn) -> str:
    return f"up for {spell_span(churn.up)}, down for {spell_span(churn.down)}"


def _clock(clock: Clock) -> str:
    ahead = f"{spell_span(abs(clock.offset))} {'behind' if clock.offset < 0 else 'ahead'}"
    drift = f"drifts by {clock.drift_ppm:g} ppm" if clock.drift_ppm else ""
    return f"clock {', '.join(filter(None, (ahead if clock.offset else '', drift))) or 'right'}"


def _machine(machine: Machine) -> str:
    return f"machine {machine.speed:g} times as fast"


def _unusual(region: Region) -> Iterator[str]:
    """Yield what a region has otherwise than usual."""
    if region.machine != Machine():
        yield _machine(region.machine)
    if region.clock != Clock():
        yield _clock(region.clock)
    if region.churn is not None:
        yield _churn(region.churn)


def _differs(one: OneSilo) -> Iterator[str]:
    """Yield what a silo has otherwise than its region."""
    if one.link is not None:
        yield _link(one.link)
    if one.machine is not None:
        yield _machine(one.machine)
    if one.clock is not None:
        yield _clock(one.clock)
    if one.approval is not None:
        yield f"approves: {_approval(one.approval)}"
    if one.churn is not None:
        yield _churn(one.churn)
    if one.lie is not None:
        yield f"lies: {one.lie.value}"


def _rules(rules: Rules) -> Iterator[str]:
    """Yield a region's rules as the file has them."""
    for name, value in rules.model_dump(mode="json", exclude_defaults=True).items():
        yield f"{name} {', '.join(value) if isinstance(value, list) else value}"


def _when(fault: Fault) -> str:
    """Say when something happens: for a while, at a moment, or from a point on."""
    if isinstance(fault, CoordinatorCrash) and fault.at is None:
        return f"at {spell_span(fault.begin)}"
    stretch = (
        f"{spell_span(fault.begin)} until {spell_span(fault.until) if fault.until else 'the end'}"
    )
    whole = fault.begin == 0 and fault.until is None
    if fault.at is None:
        return "always" if whole else stretch
    phase = None if isinstance(fault, Loss) else fault.phase
    point = fault.at.value + (f" of {phase.value}" if phase else "")
    return f"at {point}" if whole else f"at {point}, {stretch}"


def _how(fault: Fault) -> Iterator[str]:
    """Yield how often, how long, how likely."""
    if isinstance(fault, Loss):
        yield f"probability {fault.probability:.3g}"
        return
    if isinstance(fault, CoordinatorCrash):
        if fault.at is not None:
            yield f"with answer {fault.answers} in hand"
        yield f"lasts {spell_span(fault.lasts)}"
        return
    if isinstance(fault, Crash):
        yield f"step {fault.dies_at}"
    if isinstance(fault, Crash | Stall) or fault.lasts is not None:
        yield f"lasts {spell_span(fault.lasts or 0)}"
    if fault.times > 1:
        yield f"{fault.times} times each"


def _skew(skew: Skew) -> str:
    """Say what a skew changes, and by how much."""
    said = skew.model_dump(mode="json", exclude={"kind", "silos"})
    words = {n: f"{v:g}" if isinstance(v, float) else v for n, v in said.items()}
    return ", ".join(f"{name} {value}" for name, value in words.items())
