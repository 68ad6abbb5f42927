"""Which silos are connected to each SuperLink, asked aside: no page waits for the network."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock, Thread

from silosynth.common.errors import SilosynthError
from silosynth.server.federation import load_federations

_KEPT_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """What a SuperLink said of its nodes, by their names; or why it said nothing."""

    nodes: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None
    why: str | None = None


class Nodes:
    """Own what SuperLinks said last."""

    def __init__(self, home: Path) -> None:
        """Begin with nothing asked."""
        self._home = home
        self._lock = Lock()
        self._said: dict[str, Connected] = {}
        self._due: dict[str, float] = {}

    def all(self) -> Mapping[str, Connected]:
        """Return what is known of each federation; ask again, aside, what is old."""
        federations = load_federations(self._home)
        with self._lock:
            for name in federations:
                if time.monotonic() >= self._due.get(name, 0.0):
                    self._due[name] = time.monotonic() + _KEPT_SECONDS
                    Thread(target=self._ask, args=(name,), daemon=True).start()
            return {name: self._said.get(name, Connected()) for name in federations}

    def _ask(self, name: str) -> None:
        """Ask one SuperLink."""
        # Flower takes seconds to import, which only who looks at this should wait for.
        from silosynth.server.federation import find_federation, list_nodes

        at = datetime.now(UTC)
        try:
            said = Connected(nodes=list_nodes(find_federation(self._home, name)), at=at)
        except SilosynthError as err:
            said = Connected(at=at, why=err.message)
        with self._lock:
            self._said[name] = said
            self._due[name] = time.monotonic() + _KEPT_SECONDS
