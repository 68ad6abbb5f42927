"""Pump a run over its SuperLink, anew where that lost us, and tell who watches how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from silosynth.common.messages import (
    Request,
)
from silosynth.common.plan import Plan
from silosynth.common.tables import AnySchema
from silosynth.common.telemetry import Telemetry, log
from silosynth.common.trust import SigningKey
from silosynth.server.coordinator import Answered, Event, State
from silosynth.server.driver import Journal, Progress, Reached, Signed, generator_of
from silosynth.server.driver.drive import drive
from silosynth.server.federation.channel import Channel
from silosynth.server.federation.results import conclude, keep_answer, keep_receipt_of, receipts_of
from silosynth.server.federation.run_files import (
    Begun,
    RunFiles,
)
from silosynth.server.federation.settings import Federation
from silosynth.server.federation.standing import (
    Standing,
    Waiting,
    keep_left,
    keep_standing,
)
from silosynth.server.federation.superlink import open_grid
from silosynth.server.federation.superlink_calls import Pace, SuperLinkLost

_ATTEMPTS = 5
_SETTLED_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchers:
    """Who is told what happens in a run. ``reached`` is a seam for tests.

    ``opened`` is called when the SuperLink has taken the run: before that no silo heard of it.
    """

    progress: Callable[[Progress], None] = lambda _: None
    standing: Callable[[Mapping[str, Waiting]], None] = lambda _: None
    tell: Callable[[str], None] = lambda _: None
    opened: Callable[[], None] = lambda: None
    telemetry: Telemetry | None = None
    reached: Reached = lambda _: None
    pace: Pace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the steps of a run need; ``approve_by`` is when approval ends, of ``time.monotonic``."""

    home: Path
    files: RunFiles
    begun: Begun
    plan: Plan
    schema: AnySchema
    federation: Federation
    key: SigningKey
    watchers: Watchers
    approve_by: float


def run_to_end(run: Run) -> State:
    """Pump the run; begin anew at the SuperLink where it lost us, a few times in a row."""
    attempt = 0
    while True:
        begun = time.monotonic()
        try:
            return _attempt(run)
        except SuperLinkLost:
            attempt = 1 if time.monotonic() - begun > _SETTLED_SECONDS else attempt + 1
            log("superlink-lost", attempt=attempt)
            if attempt == _ATTEMPTS:
                raise


def _attempt(run: Run) -> State:
    """Pump the run over one run at the SuperLink."""
    pace = run.watchers.pace or Pace()
    named = run.begun.generator
    imagine = generator_of(None if named is None else Path(named), run.plan, begun=True)
    with (
        Journal(run.files.path, plan_digest=run.plan.digest) as journal,
        open_grid(run.federation, lock=run.home / "superlink.lock", patience=pace.patience) as grid,
    ):
        run.watchers.opened()
        channel = Channel(
            grid,
            plan=run.plan,
            key=run.key,
            receipts=lambda silo: receipts_of(
                silo,
                home=run.home,
                plan=run.plan,
                federation=run.begun.federation,
                coordinator=run.key.public,
            ),
            stopping=run.files.cancel.exists,
            reached=run.watchers.reached,
            standing=lambda silos: _stand(run, silos),
            left=lambda silo, left: keep_left(run.files.left, silo, left),
            pace=pace,
        )
        return drive(
            run.plan,
            run.schema,
            journal=journal,
            send=lambda requests: _ask(run, channel, requests),
            agree=channel.agree,
            imagine=imagine,
            tell=lambda text: _tell(run, text),
            signed=Signed(
                propose=lambda silos: channel.propose(silos, deadline=run.approve_by),
                conclude=lambda state: _conclude(run, state),
                deliver=lambda silos: channel.deliver(silos, bundle=run.files.bundle.read_bytes()),
            ),
            progress=lambda progress: _show(run, progress),
            reached=run.watchers.reached,
        )


def _ask(run: Run, channel: Channel, requests: Sequence[Request]) -> Iterator[Event]:
    """Ask a phase, and say so in the log."""
    log("phase-asked", run=run.files.id, phase=requests[0].phase.value, silos=len(requests))
    for event in channel.ask(requests):
        yield event
        if isinstance(event, Answered):
            keep_answer(run.home, run.plan, event)


def _tell(run: Run, text: str) -> None:
    """Say what whoever watches has to know before more is asked."""
    log("notice", run=run.files.id, text=text)
    run.watchers.tell(text)


def _stand(run: Run, silos: Mapping[str, Waiting]) -> None:
    """Tell who watches, here and by 'status', why the run waits for whom."""
    keep_standing(run.files.standing, silos)
    run.watchers.standing(silos)
    if run.watchers.telemetry is not None:
        away = (Standing.ABSENT, Standing.GATEWAY_AWAY)
        for silo in run.plan.silos:
            what = silos[silo].what if silo in silos else None
            run.watchers.telemetry.connected(silo, is_connected=what not in away)
            run.watchers.telemetry.waits(silo, plans=int(what is Standing.PENDING))


def _show(run: Run, progress: Progress) -> None:
    """Tell who watches how far the run is."""
    if run.watchers.telemetry is not None:
        answered = progress.answered
        run.watchers.telemetry.entered(progress.phase.value, silos_answered=answered)
    run.watchers.progress(progress)


def _conclude(run: Run, state: State) -> str:
    """Put the results on disk, and the silos' receipts; return the sampler's digest."""
    return conclude(
        state,
        plan=run.plan,
        files=run.files,
        key=run.key,
        keep=lambda silo, receipt: keep_receipt_of(run.home, run.plan, silo, receipt),
        reached=run.watchers.reached,
    )
