"""One cell of the kill matrix: who dies where, and what must hold afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silosynth.common.plan import Plan
from tests.processes.federation import SILOS, wait_for
from tests.processes.lab import Lab
from tests.processes.promises import AGREEING, Silos, check_at_death, check_run, journal_at_death
from tests.processes.reference import Reference
from tests.processes.trap import Trap
from tests.support.patience import patience

MOST_SECONDS = 60.0

KILLED = -9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """``victim`` dies when ``witness`` is at ``label`` for the ``nth`` time.

    Witness and victim are names of processes: ``gateway-north``, ``coordinator``, ``superlink``,
    ``relay-south`` (with its SuperNode), ``supernode-west`` (alone).
    """

    victim: str
    label: str
    witness: str = ""
    nth: int = 1
    method: str = "mst"
    trust: str = "own"

    @property
    def seen_by(self) -> str:
        """Return the witness: the victim itself where none is named."""
        return self.witness or self.victim

    def __str__(self) -> str:
        by = "" if self.seen_by == self.victim else f" when {self.seen_by} is"
        nth = f" #{self.nth}" if self.nth > 1 else ""
        return f"{self.victim}{by} at {self.label}{nth}, {self.trust} noise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    """A cell in which everything held, and how long it took from the kill to the run's end."""

    cell: Cell
    seconds: float
    restart_seconds: float

    def __str__(self) -> str:
        """Return a row of the table."""
        restarted = f"{self.restart_seconds:.1f} s until restarted"
        return f"{self.seconds:6.1f} s ({restarted})  {self.cell}"


NoteKills = Callable[[Sequence[Survived]], None]
"""Puts cells into the table at the end of the tests."""


class Run:
    """Own one plan's way through cells, each of a later stage than the one before."""

    def __init__(
        self,
        lab: Lab,
        cells: Sequence[Cell],
        *,
        name: str,
        mutant: str | None = None,
        plan: Plan | None = None,
    ) -> None:
        """Take the cells; ``plan`` is a written one of this name, where it is none of theirs."""
        self._lab = lab
        self._cells = cells
        self._name = name
        self._mutant = mutant
        self.plan = plan or lab.new_plan(name, method=cells[0].method, trust=cells[0].trust)

    def survive(self, reference: Reference) -> list[Survived]:
        """Begin the run, let each kill happen, mend, and check all promises."""
        with ThreadPoolExecutor(1) as aside:
            return self._survive(aside.submit(reference.result, self.plan))

    def _survive(self, expected: Future[bytes]) -> list[Survived]:
        """Do so while the undisturbed run goes its way."""
        lab, name = self._lab, f"coordinator-{self._name}"
        before = Silos.of(lab)
        traps = [self._set_trap(place) for place in range(len(self._cells))]
        lab.start_run(self._name, mutant=self._mutant)
        times = []
        for cell, fired in zip(self._cells, traps, strict=True):
            killed = self._wait_for_kill(cell, fired)
            self._mend(cell, before=before)
            times.append((killed, time.time()))
        code = lab.processes[name].wait(timeout=patience(MOST_SECONDS))
        ended, outcome = time.time(), lab.outcome(self._name)
        assert code == 0, f"{self._cells}: {outcome} {lab.log(name)[-2000:]}"
        took = ended - times[-1][0]
        assert took <= patience(MOST_SECONDS), f"{self._cells[-1]}: {took:.1f} s"
        self._check_rejoined()
        check_run(lab, self.plan, outcome["data"], before=before, expected=expected.result())
        nexts = [*(killed for killed, _ in times[1:]), ended]
        return [
            Survived(cell=cell, seconds=after - killed, restart_seconds=mended - killed)
            for cell, (killed, mended), after in zip(self._cells, times, nexts, strict=True)
        ]

    def _set_trap(self, place: int) -> Path:
        """Let a victim die at its cell's point."""
        lab, cell = self._lab, self._cells[place]
        witness, victim = (self._process(name) for name in (cell.seen_by, cell.victim))
        if cell.victim.startswith("supernode-"):
            victims: tuple[int, ...] = (lab.supernode_pid(cell.victim.partition("-")[2]),)
        elif witness == victim:
            victims = ()
        else:
            victims = (lab.pid(victim),)
        trap = Trap(
            witness=witness,
            label=cell.label,
            plan_digest=self.plan.digest,
            nth=cell.nth,
            victims=victims,
        )
        return trap.set(lab.directory / "traps", name=f"{self._name}-{place}")

    def _process(self, name: str) -> str:
        """Return a process' name in the laboratory."""
        return f"coordinator-{self._name}" if name == "coordinator" else name

    def _wait_for_kill(self, cell: Cell, fired: Path) -> float:
        """Return when a trap went off."""
        name = f"coordinator-{self._name}"

        def gone_off() -> bool:
            over = self._lab.processes[name].poll() is not None
            if fired.exists():
                return True
            assert not over, (
                f"{cell}: the run ended before: {self._lab.outcome(self._name)} "
                f"{self._lab.log(name)[-2000:]}"
            )
            return False

        wait_for(f"the kill of {cell}", gone_off, seconds=3 * MOST_SECONDS)
        return float(fired.read_text())

    def _mend(self, cell: Cell, *, before: Silos) -> None:
        """Look at what the dead left, and start it again."""
        lab, victim = self._lab, cell.victim
        kind, _, silo = victim.partition("-")
        if kind == "supernode":
            return
        process: Any = lab.processes[self._process(victim)]
        assert process.wait(timeout=patience(10)) == KILLED
        if kind == "coordinator":
            run = lab.run_directory(self._name)
            journal_at_death(run, self.plan, lab.schema_of(self.plan), cell=cell)
            lab.start_run(self._name, resume=run.name, mutant=self._mutant)
        elif kind == "gateway":
            with lab.reading[silo]:
                check_at_death(lab, cell, plan=self.plan, before=before)
                self._start(kind, silo)
        else:
            self._start(kind, silo)

    def _check_rejoined(self) -> None:
        """Check that a relay ended what a killed SuperNode left open, where one was killed."""
        for cell in self._cells:
            kind, _, silo = cell.victim.partition("-")
            if kind in ("relay", "supernode"):
                assert "stale-session-ended" in self._lab.log(f"relay-{silo}"), f"{cell}: waited"

    def _start(self, kind: str, silo: str) -> None:
        """Start a process as a service manager would."""
        lab = self._lab
        if kind == "gateway":
            lab.start_gateway(silo, mutant=self._mutant)
        elif kind == "relay":
            lab.start_relay(silo)
        else:
            lab.start_superlink()


def survive(
    lab: Lab, cell: Cell, *, name: str, reference: Reference, mutant: str | None = None
) -> Survived:
    """Run one cell; raise AssertionError naming the first promise that does not hold."""
    return Run(lab, [cell], name=name, mutant=mutant).survive(reference)[0]


def in_turn(cells: Sequence[Cell], *, phases: Sequence[str]) -> list[tuple[Cell, ...]]:
    """Put cells together that one run can meet one after the other, one of each stage.

    Each stage begins with another of its steps, and so with another silo.
    A cell is no easier to survive where the run has survived others: what must hold at a death is
    checked at each of them before anything is mended, and the end is that of an undisturbed run.
    """
    stages = ("propose", *AGREEING, *phases, "fit", "deliver")
    groups = [[c for c in cells if c.label.split(":")[0] == stage] for stage in stages]
    assert sum(map(len, groups)) == len(cells), "a cell has no stage"
    longest = max(map(len, groups))
    chosen = [[(place + turn) % longest for turn in range(len(groups))] for place in range(longest)]
    return [
        tuple(group[at] for group, at in zip(groups, places, strict=True) if at < len(group))
        for places in chosen
    ]


def matrix_of_gateways(phases: Sequence[str], *, trust: str = "own") -> list[Cell]:
    """Return a cell for every step of every verb, the silos in turn."""
    steps = [
        (what, step) for what in ("propose", *_agreeing(trust), "deliver") for step in SHORT_STEPS
    ]
    steps += [(phase, step) for phase in phases for step in STEPS]
    return [
        Cell(victim=f"gateway-{SILOS[place % len(SILOS)]}", label=f"{what}:{step}", trust=trust)
        for place, (what, step) in enumerate(steps)
    ]


def _agreeing(trust: str) -> tuple[str, ...]:
    """Return the steps towards a sum."""
    return AGREEING if trust == "shared" else ()


SHORT_STEPS = ("received", "verified", "before-send")
STEPS = (
    "received",
    "verified",
    "before-charge",
    "after-charge",
    "counted",
    "noised",
    "before-store",
    "after-store",
    "before-send",
)


def matrix_of_coordinators(phases: Sequence[str], *, trust: str = "own") -> list[Cell]:
    """Return a cell for every step of every stage."""
    labels = [("propose:after-send", 1), ("propose:before-record", 2), ("propose:after-record", 3)]
    for asked in (*_agreeing(trust), *phases):
        labels += [
            (f"{asked}:before-send", 1),
            (f"{asked}:after-send", 1),
            (f"{asked}:before-record", 2),
            (f"{asked}:after-record", 3),
        ]
    labels += [(f"fit:{step}", 1) for step in FIT_STEPS]
    labels += [
        ("deliver:before-deliver", 1),
        ("deliver:after-send", 1),
        ("deliver:before-record", 2),
        ("deliver:after-record", 3),
        ("deliver:after-deliver", 1),
    ]
    return [Cell(victim="coordinator", label=label, nth=nth, trust=trust) for label, nth in labels]


FIT_STEPS = (
    "before-fit",
    "after-fit",
    "before-write",
    "sampler-written",
    "after-write",
    "before-record",
    "after-record",
)


def once_each(cells: Sequence[Cell], *, phases: Sequence[str]) -> list[Cell]:
    """Keep what an agreement is asked, and each step of a phase once, the phases in turn."""
    steps: list[str] = []
    kept = []
    for cell in cells:
        what, step = cell.label.split(":")
        if what in phases and step not in steps:
            steps.append(step)
        in_turn = what in phases and phases[steps.index(step) % len(phases)] == what
        if what in AGREEING or in_turn:
            kept.append(cell)
    return kept
