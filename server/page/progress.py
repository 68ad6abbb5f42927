"""How far a run is, read off its journal as it grows, without playing it again.

A journal is append-only: what was read once is never read again. Releases are not opened, so a
page of a hundred silos costs a hundred signatures once, and hardly anything after that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from silosynth.common.errors import SilosynthError
from silosynth.common.messages import Answer, Verdict, decode_statement
from silosynth.common.plan import Plan
from silosynth.server.coordinator import Stage
from silosynth.server.driver import read_answer, read_lines
from silosynth.server.federation import RunFiles, printable

_YES = "yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One answer of a silo, as the coordinator keeps it."""

    silo: str
    phase: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiloProgress:
    """How far a run is with one silo; ``approved`` is "yes", what it said, or None so far."""

    silo: str
    approved: str | None
    answered: tuple[str, ...]
    delivered: bool


class JournalReader:
    """Own what was read of one run's journal.

    Guarantees: a line is taken when it is whole, once.
    """

    def __init__(self, files: RunFiles, plan: Plan) -> None:
        """Begin before the first line."""
        self.plan = plan
        self._files = files
        self._offset = 0
        self._approved: dict[str, str] = {}
        self._answered: dict[str, list[str]] = {}
        self._away: dict[str, set[str]] = {}
        self._delivered: set[str] = set()
        self._fitted = False
        self._sent: list[Sent] = []

    def read(self) -> None:
        """Take what was appended since; a journal that is not there holds nothing."""
        lines, self._offset = read_lines(self._files.path, offset=self._offset)
        for line in lines:
            self._take(line)

    def silos(self) -> list[SiloProgress]:
        """Return how far the run is with each silo of its plan."""
        return [
            SiloProgress(
                silo=silo,
                approved=self._approved.get(silo),
                answered=tuple(dict.fromkeys(self._answered.get(silo, ()))),
                delivered=silo in self._delivered,
            )
            for silo in self.plan.silos
        ]

    def sent(self) -> list[Sent]:
        """Return what silos released, in the order in which it came."""
        return list(self._sent)

    def stage(self) -> tuple[str, int, int]:
        """Return the phase or stage that a run is at, and how many of how many have answered."""
        silos = self.plan.silos
        left = [s for s in silos if self._approved.get(s, _YES) != _YES]
        asked = len(silos) - len(left)
        if len(self._approved) < len(silos):
            return Stage.PROPOSE.value, len(self._approved), len(silos)
        for phase in self.plan.phases:
            name, times = phase.name.value, self.plan.requests(phase) // self.plan.attempts
            rounds = [self._answered.get(s, []).count(name) for s in silos]
            done = sum(n > 0 for n in rounds) + len(self._away.get(name, set()))
            if done < asked or (times > 1 and not self._fitted and max(rounds) < times):
                return name, sum(n >= max(rounds) > 0 for n in rounds), asked
        if not self._fitted:
            return Stage.FIT.value, 0, 1
        stage = Stage.DELIVER if len(self._delivered) < asked else Stage.ENDED
        return stage.value, len(self._delivered), asked

    def _take(self, line: Mapping[str, str]) -> None:
        """Take one event."""
        silo = line.get("silo", "")
        match line.get("event"):
            case "decided":
                self._approved[silo] = self._verdict(silo, line["sha256"])
            case "undecided":
                self._approved[silo] = "did not decide in time"
            case "answered":
                self._answered.setdefault(silo, []).append(line["phase"])
                self._sent.append(Sent(silo=silo, phase=line["phase"], sha256=line["sha256"]))
            case "absent":
                self._away.setdefault(line["phase"], set()).add(silo)
            case "fitted":
                self._fitted = True
            case "acknowledged" | "silent":
                self._delivered.add(silo)

    def _verdict(self, silo: str, digest: str) -> str:
        """Return what a silo decided, in its own public words."""
        try:
            data = read_answer(self._files.path, digest)
            said = decode_statement(data, Verdict, trusted=(self.plan.roster[silo],))
        except (SilosynthError, OSError, KeyError):
            return "said what cannot be read"
        if said.answer is Answer.APPROVED:
            return _YES
        return printable(said.message) or "refused"
