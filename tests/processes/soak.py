"""Kill random processes at random moments, again and again, and print a tally.

    make soak                 1,000 kills, over the gateways' sockets
    make soak SOAK=50 FLOWER=1    the whole stack: SuperLink, SuperNodes and relays die too
    make soak SHARED=1        silos sum in secret; works with FLOWER=1 as well

Half of the kills come at a named point, half at any instruction. Every run has several, and ends in
the sampler of an undisturbed run, with every promise of the kill matrix checked.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from silosynth.common.plan import Plan
from tests.processes.cells import KILLED, MOST_SECONDS, matrix_of_coordinators, matrix_of_gateways
from tests.processes.lab import Lab
from tests.processes.promises import Silos, check_run
from tests.processes.reference import Reference
from tests.processes.silo_tables import SILOS
from tests.processes.trap import Trap
from tests.support.patience import patience

PHASES = {"mst": ("one-way", "coarse", "tree"), "independent": ("one-way",)}
MOST_KILLS = 5
_LAST_BREATH_SECONDS = 0.1
SOCKETS = ("coordinator", *(f"gateway-{s}" for s in SILOS))
FLOWER = (*SOCKETS, "superlink", *(f"relay-{s}" for s in SILOS), *(f"supernode-{s}" for s in SILOS))


@dataclass(slots=True, kw_only=True)
class Tally:
    """What happened so far."""

    wanted: int
    killed: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    broken: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    @property
    def kills(self) -> int:
        """Return how many processes died."""
        return sum(self.killed.values())

    def __str__(self) -> str:
        minutes = (time.monotonic() - self.begun) / 60
        return (
            f"{self.kills} kills in {self.runs} runs, {minutes:.1f} min; "
            f"{self.runs - len(self.broken)} runs ended in the undisturbed sampler, "
            f"{len(self.broken)} broke a promise; "
            f"longest from last kill to end {self.longest_seconds:.1f} s; "
            + ", ".join(f"{name} {count}" for name, count in sorted(self.killed.items()))
        )


class Disturbed:
    """Own one run, the kills that meet it, and its mending."""

    def __init__(self, lab: Lab, name: str, *, chance: random.Random, tally: Tally) -> None:
        self._lab = lab
        self._name = name
        self._chance = chance
        self._tally = tally
        self._last_kill = time.monotonic()
        method = chance.choice(list(PHASES))
        trust = "shared" if os.environ.get("SHARED") else "own"
        self.plan: Plan = lab.new_plan(name, method=method, trust=trust)
        self._points = matrix_of_gateways(PHASES[method], trust=trust)
        self._points += matrix_of_coordinators(PHASES[method], trust=trust)
        self._left = chance.randint(1, min(MOST_KILLS, tally.wanted - tally.kills))
        self._next = 0.0
        self._plan_next()

    def end(self, reference: Reference) -> None:
        """Run to the end through all kills; raise AssertionError when a promise is broken."""
        before = Silos.of(self._lab)
        self._lab.start_run(self._name)
        while (code := self._process("coordinator").poll()) is None or code == KILLED:
            seconds = time.monotonic() - self._last_kill
            assert seconds <= patience(MOST_SECONDS), f"{self._name}: no end in {seconds:.0f} s"
            self._mend()
            if self._left and time.monotonic() > self._next:
                self._kill()
            time.sleep(0.01)
        ended, self._left = time.monotonic(), 0
        self._drop_traps()
        time.sleep(_LAST_BREATH_SECONDS)
        self._mend()
        seconds = ended - self._last_kill
        self._tally.longest_seconds = max(self._tally.longest_seconds, seconds)
        assert code == 0, f"{self._name}: {self._lab.outcome(self._name)}"
        done = self._lab.outcome(self._name)["data"]
        check_run(self._lab, self.plan, done, before=before, expected=reference.sampler(self.plan))

    def give_up(self) -> None:
        """Stop the run, so that the next one is not alone in being disturbed."""
        self._drop_traps()
        self._process("coordinator").kill()

    def _plan_next(self) -> None:
        """Choose when the next kill comes: at a named point, or at any moment."""
        self._next = time.monotonic() + self._chance.uniform(0.0, 3.0 if self._flower else 0.6)
        if self._chance.random() < 0.5:
            cell = self._chance.choice(self._points)
            witness = cell.victim.replace("coordinator", f"coordinator-{self._name}")
            trap = Trap(
                witness=witness, label=cell.label, plan_digest=self.plan.digest, nth=cell.nth
            )
            trap.set(self._lab.directory / "traps", name=f"{self._name}-{self._left}")
            self._next += 2.0

    @property
    def _flower(self) -> bool:
        return self._lab.over_flower

    def _process(self, name: str):  # type: ignore[no-untyped-def]  # a Forked in a Popen's place
        full = f"coordinator-{self._name}" if name == "coordinator" else name
        return self._lab.processes[full]

    def _kill(self) -> None:
        """Kill somebody now."""
        self._drop_traps()
        victim = self._chance.choice(FLOWER if self._flower else SOCKETS)
        if victim.startswith("supernode-"):
            try:
                os.kill(self._lab.supernode_pid(victim.partition("-")[2]), 9)
            except (StopIteration, OSError):
                return
            self._count(victim)
            return
        self._process(victim).kill()
        self._process(victim).wait(timeout=patience(5))

    def _count(self, victim: str) -> None:
        """Note a kill."""
        self._tally.killed[victim] += 1
        self._last_kill = time.monotonic()
        self._left -= 1
        if self._left > 0:
            self._plan_next()

    def _mend(self) -> None:
        """Start again whoever is dead."""
        for name in SOCKETS if not self._flower else FLOWER:
            if name.startswith("supernode-") or self._process(name).poll() != KILLED:
                continue
            self._count(name)
            kind, _, silo = name.partition("-")
            if kind == "coordinator":
                self._resume()
            elif kind == "gateway":
                self._lab.start_gateway(silo)
            elif kind == "relay":
                self._lab.start_relay(silo)
            else:
                self._lab.start_superlink()

    def _resume(self) -> None:
        """Resume the run, or begin it where it died before it had begun."""
        begun = list((self._lab.home / "runs").glob(f"{self._name}-*-*-*/run.json"))
        self._lab.start_run(self._name, resume=begun[0].parent.name if begun else None)

    def _drop_traps(self) -> None:
        for trap in (self._lab.directory / "traps").glob(f"*~{self._name}-*.trap"):
            trap.unlink(missing_ok=True)


def main() -> int:
    """Soak until so many processes were killed; return 1 when a promise was broken."""
    wanted, over_flower = int(os.environ.get("SOAK", "1000")), bool(os.environ.get("FLOWER"))
    seed = int(os.environ.get("SEED", str(time.time_ns() % 10**6)))
    tally, chance = Tally(wanted=wanted), random.Random(seed)
    print(f"{wanted} kills, SEED={seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as name,
        Lab(Path(name) / "lab", over_flower=over_flower) as lab,
    ):
        lab.start()
        reference = Reference(lab, Path(name) / "twins")
        while tally.kills < wanted:
            run = Disturbed(lab, f"s{tally.runs}", chance=chance, tally=tally)
            tally.runs += 1
            try:
                run.end(reference)
            except AssertionError as err:
                run.give_up()
                tally.broken.append(str(err))
                print(f"BROKEN: {err}", flush=True)
            if tally.runs % 10 == 0:
                print(tally, flush=True)
        reference.close()
    print(tally)
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
