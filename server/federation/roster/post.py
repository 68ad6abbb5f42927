"""Show the silos of a project each change of its roster that they have yet to approve."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from silosynth.common.errors import RunFailed
from silosynth.common.messages import Answer
from silosynth.common.trust import SigningKey
from silosynth.server.coordinator import Decided
from silosynth.server.federation.channel import Channel
from silosynth.server.federation.letters import Addressees
from silosynth.server.federation.roster.chain import (
    RosterChain,
    Sealed,
    approves,
    read_said,
)
from silosynth.server.federation.settings import Federation
from silosynth.server.federation.standing import Standing, Waiting, printable
from silosynth.server.federation.superlink import open_grid
from silosynth.server.federation.superlink_calls import Pace

Standings = dict[str, str]


def send_changes(
    chain: RosterChain,
    federation: Federation,
    *,
    home: Path,
    wait_seconds: float,
    pace: Pace | None = None,
) -> Standings:
    """Show changes to the silos that lack them; return how each silo stands, in words.

    It ends once every silo has said something, or the time is up: what waits for a person at a silo
    is decided there, and asked after the next time.

    Raises ConnectionFailed when there is no SuperLink.
    """
    pace = pace or Pace()
    deadline = time.monotonic() + wait_seconds
    now = chain.now.silos
    standing: Standings = dict.fromkeys(now, "goes by it")
    with open_grid(federation, lock=home / "superlink.lock", patience=pace.patience) as grid:
        for sealed in chain.changes:
            lacking = [s for s in now if sealed in chain.missing(s)]
            asked = [s for s in lacking if standing[s] == "goes by it"]
            if not asked:
                continue
            post = Addressees(roster={s: now[s] for s in asked}, sealed=sealed.data)
            heard = _Heard()
            channel = Channel(
                grid,
                plan=post,
                key=SigningKey.load(federation.identity),
                receipts=partial(_vouchers, chain, sealed),
                stopping=heard.all_heard,
                standing=heard.note,
                pace=pace,
            )
            standing |= _show(channel, chain, sealed, asked=asked, deadline=deadline, heard=heard)
    return standing


def _vouchers(chain: RosterChain, sealed: Sealed, _silo: str) -> Sequence[bytes]:
    """Return what any silo is shown of what the others said."""
    return chain.vouchers(sealed)


class _Heard:
    """Own what is known of the silos that have not decided."""

    def __init__(self) -> None:
        self.waiting: Mapping[str, Waiting] = {}

    def note(self, waiting: Mapping[str, Waiting]) -> None:
        """Take how silos stand now."""
        self.waiting = waiting

    def all_heard(self) -> bool:
        """Say whether nobody is left but those who wait for a person."""
        stands = [w.what for w in self.waiting.values()]
        return bool(stands) and all(what is Standing.PENDING for what in stands)


def _show(
    channel: Channel,
    chain: RosterChain,
    sealed: Sealed,
    *,
    asked: Sequence[str],
    deadline: float,
    heard: _Heard,
) -> Standings:
    """Show one change to silos; return how each of them stands."""
    standing = {}
    try:
        for event in channel.propose(asked, deadline=deadline):
            if isinstance(event, Decided):
                standing[event.silo] = _decided(chain, sealed, event)
    except RunFailed:
        pass  # all have been heard
    for silo in asked:
        if silo not in standing:
            known = heard.waiting.get(silo)
            standing[silo] = Standing.ABSENT.value if known is None else known.words()
    return standing


def _decided(chain: RosterChain, sealed: Sealed, event: Decided) -> str:
    """Keep what a silo decided, and say it."""
    said = read_said(event.data, key=chain.now.silos[event.silo], sealed=sealed)
    if approves(said):
        chain.note(sealed, event.silo, event.data)
        return "goes by it"
    if said is None or said.answer is not Answer.REFUSED:
        return "answered something else"
    return f"refuses it: {printable(said.message)}"
