"""Run a plan over a federation, from its first proposal to the last acknowledgement."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from silosynth.common.errors import InvalidPlan, RunFailed, SilosynthError, StorageFailed
from silosynth.common.files import fresh_file, storage_error, write_text
from silosynth.common.messages import (
    Bundle,
    Release,
    Request,
    Result,
    decode_release,
    digest_sampler,
    encode_receipt,
    encode_statement,
)
from silosynth.common.plan import Plan, check_budget, check_plan
from silosynth.common.sampler import save_sampler
from silosynth.common.schema import Schema
from silosynth.common.telemetry import Telemetry, log
from silosynth.common.trust import SigningKey
from silosynth.server.coordinator import Answered, Event, State, finish
from silosynth.server.driver import Journal, Progress, Reached, Signed, count_cost
from silosynth.server.driver.drive import drive
from silosynth.server.federation.channel import Channel, Pace
from silosynth.server.federation.link import SuperLinkLost
from silosynth.server.federation.roster.chain import former_keys
from silosynth.server.federation.run_files import (
    Begun,
    Ended,
    RunFiles,
    RunState,
    describe_failure,
    keep_receipt,
    kept_receipts,
    lock_run,
    read_ended,
    read_plan,
    write_ended,
)
from silosynth.server.federation.settings import Federation
from silosynth.server.federation.standing import Standing, Waiting, keep_standing
from silosynth.server.federation.superlink import open_grid
from silosynth.server.methods import require_generators

_ATTEMPTS = 5
_RESUME = "make room or mend the disk, then 'silosynth run --resume {run}': nothing is lost"
_SETTLED_SECONDS = 120.0
MOST_RECEIPTS = 10_000


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
class _Run:
    """What the steps of a run need; ``approve_by`` is when approval ends, of ``time.monotonic``."""

    home: Path
    files: RunFiles
    begun: Begun
    plan: Plan
    schema: Schema
    federation: Federation
    key: SigningKey
    watchers: Watchers
    approve_by: float


def check_runnable(plan: Plan, schema: Schema) -> None:
    """Raise InvalidPlan unless a federation can run a plan: it fits, keeps its word, has keys.

    Raises RunFailed when what the plan trains cannot be trained here.
    """
    check_plan(plan, schema)
    check_budget(plan)
    require_generators(plan)
    _check_receipts(plan)
    if not plan.roster:
        raise InvalidPlan(
            f"plan {plan.id} names no keys of its silos",
            hint="make it with 'silosynth plan new --roster roster.yaml'",
        )


def _check_receipts(plan: Plan) -> None:
    """Raise InvalidPlan for more requests than a result can hold the receipts of."""
    receipts = len(plan.silos) * sum(plan.requests(phase) for phase in plan.phases)
    if receipts > MOST_RECEIPTS:
        raise InvalidPlan(
            f"plan {plan.id} makes up to {receipts} receipts; a result holds {MOST_RECEIPTS}",
            hint="train in fewer rounds, with a higher rate or more local steps",
        )


def run_federation(
    home: Path,
    files: RunFiles,
    begun: Begun,
    *,
    federation: Federation,
    watchers: Watchers | None = None,
) -> State:
    """Run or resume a run to its end and write how it ended; return its state.

    The journal holds every answer before the next question is sent. A SuperLink that goes away is
    waited for, and where it forgot the run, another is begun there: nothing is asked twice that
    was answered. Who resumes a run gives the silos the plan's whole time to approve it again: an
    approval that came late is heard.

    Raises what ends the run; RunFailed when another coordinator pumps it or it was cancelled.
    """
    with lock_run(files):
        if files.cancel.exists():
            raise RunFailed(
                f"run {files.id} was cancelled", hint="make a new plan; what it spent stays spent"
            )
        plan, schema = read_plan(files)
        run = _Run(
            home=home,
            files=files,
            begun=begun,
            plan=plan,
            schema=schema,
            federation=federation,
            key=SigningKey.load(federation.identity),
            watchers=watchers or Watchers(),
            approve_by=time.monotonic() + plan.approval_seconds,
        )
        write_ended(files, Ended(state=RunState.INTERRUPTED))
        try:
            with count_cost(files.path):
                state = _run_to_end(run)
        except SilosynthError as err:
            log("run-failed", run=files.id, code=err.code)
            with suppress(StorageFailed):  # what ended the run is told, not the log of it
                write_ended(files, describe_failure(err, cancelled=files.cancel.exists()))
            raise
        except OSError as err:
            failure = storage_error(err)
            if failure is None:
                raise
            log("run-failed", run=files.id, code=failure.code)
            with suppress(SilosynthError, OSError):  # the disk that is full
                write_ended(files, describe_failure(failure, cancelled=files.cancel.exists()))
            raise StorageFailed(failure.message, hint=_RESUME.format(run=files.id)) from err
        write_ended(files, _completed(state))
        log("run-completed", run=files.id, silos=len(state.silos))
        return state


def cancel_run(files: RunFiles) -> None:
    """Ask the coordinator of a run to stop for good; charges that were made stay.

    Raises RunFailed when the run has ended.
    """
    state = read_ended(files).state
    if state is RunState.COMPLETED:
        raise RunFailed(f"run {files.id} has ended")
    files.cancel.touch()
    if state is not RunState.RUNNING:
        write_ended(files, describe_failure(_cancelled(files), cancelled=True))


def _cancelled(files: RunFiles) -> RunFailed:
    """Return the error that ends a cancelled run."""
    return RunFailed(f"run {files.id} was cancelled")


def _completed(state: State) -> Ended:
    """Return the good end of a run: who took part, who left, who did not take the result."""
    return Ended(
        state=RunState.COMPLETED,
        silos=state.silos,
        left=state.left,
        unacknowledged=state.unacknowledged(),
    )


def _run_to_end(run: _Run) -> State:
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


def _attempt(run: _Run) -> State:
    """Pump the run over one run at the SuperLink."""
    pace = run.watchers.pace or Pace()
    with (
        Journal(run.files.path, plan_digest=run.plan.digest) as journal,
        open_grid(run.federation, lock=run.home / "superlink.lock", patience=pace.patience) as grid,
    ):
        run.watchers.opened()
        channel = Channel(
            grid,
            plan=run.plan,
            key=run.key,
            receipts=lambda silo: _receipts_of(run, silo),
            stopping=run.files.cancel.exists,
            reached=run.watchers.reached,
            standing=lambda silos: _stand(run, silos),
            pace=pace,
        )
        return drive(
            run.plan,
            run.schema,
            journal=journal,
            send=lambda requests: _ask(run, channel, requests),
            agree=channel.agree,
            tell=lambda text: _tell(run, text),
            signed=Signed(
                propose=lambda silos: channel.propose(silos, deadline=run.approve_by),
                conclude=lambda state: _conclude(run, state),
                deliver=lambda silos: channel.deliver(silos, bundle=run.files.bundle.read_bytes()),
            ),
            progress=lambda progress: _show(run, progress),
            reached=run.watchers.reached,
        )


def _ask(run: _Run, channel: Channel, requests: Sequence[Request]) -> Iterator[Event]:
    """Ask a phase, and say so in the log."""
    log("phase-asked", run=run.files.id, phase=requests[0].phase.value, silos=len(requests))
    for event in channel.ask(requests):
        yield event
        if isinstance(event, Answered):
            _keep_answer(run, event)


def _keep_answer(run: _Run, event: Answered) -> None:
    """Keep the receipt of a release, which proves where a silo's ledger was."""
    key = run.plan.roster[event.silo]
    try:
        answer = decode_release(event.data, trusted=(key,))
    except SilosynthError:
        return  # the state machine has named the silo
    if isinstance(answer, Release):
        _keep(run, event.silo, encode_receipt(answer))


def _receipts_of(run: _Run, silo: str) -> Sequence[bytes]:
    """Return the receipts that are kept of a silo, under its key and those that it had before."""
    before = former_keys(
        run.home,
        federation=run.begun.federation,
        project=run.plan.project,
        silo=silo,
        coordinator=run.key.public,
    )
    keys = (run.plan.roster[silo], *before)
    return [r for key in keys for r in kept_receipts(run.home, silo_key=key)]


def _keep(run: _Run, silo: str, receipt: bytes) -> None:
    """Keep a receipt under its own hash."""
    name = hashlib.sha256(receipt).hexdigest()
    keep_receipt(run.home, silo_key=run.plan.roster[silo], receipt=receipt, name=name)


def _tell(run: _Run, text: str) -> None:
    """Say what whoever watches has to know before more is asked."""
    log("notice", run=run.files.id, text=text)
    run.watchers.tell(text)


def _stand(run: _Run, silos: Mapping[str, Waiting]) -> None:
    """Tell who watches, here and by 'status', why the run waits for whom."""
    keep_standing(run.files.standing, silos)
    run.watchers.standing(silos)
    if run.watchers.telemetry is not None:
        away = (Standing.ABSENT, Standing.GATEWAY_AWAY)
        for silo in run.plan.silos:
            what = silos[silo].what if silo in silos else None
            run.watchers.telemetry.connected(silo, is_connected=what not in away)
            run.watchers.telemetry.waits(silo, plans=int(what is Standing.PENDING))


def _show(run: _Run, progress: Progress) -> None:
    """Tell who watches how far the run is."""
    if run.watchers.telemetry is not None:
        answered = progress.answered
        run.watchers.telemetry.entered(progress.phase.value, silos_answered=answered)
    run.watchers.progress(progress)


def _conclude(run: _Run, state: State) -> str:
    """Fit, put sampler, certificate and the signed result on disk; return the sampler's digest."""
    reached = run.watchers.reached
    reached("before-fit")
    outcome = finish(state)
    reached("after-fit")
    reached("before-write")
    save_sampler(outcome.sampler, run.files.sampler, force=True)
    reached("sampler-written")
    certificate = outcome.certificate.model_dump(mode="json")
    text = json.dumps(certificate, indent=1, sort_keys=True) + "\n"
    write_text(run.files.certificate, text, force=True)
    sampler = run.files.sampler.read_bytes()
    result = Result(
        plan_digest=run.plan.digest,
        sampler_digest=digest_sampler(sampler),
        certificate=outcome.certificate,
        silos=state.silos,
        receipts=_keep_receipts(run, state),
    )
    statement = encode_statement(result, key=run.key)
    with fresh_file(run.files.bundle, force=True) as part:
        part.write_bytes(Bundle(statement=statement, sampler=sampler).encode())
    reached("after-write")
    return result.sampler_digest


def _keep_receipts(run: _Run, state: State) -> dict[str, tuple[str, ...]]:
    """Keep every silo's signed receipts here too, and return them in base64 for its peers."""
    receipts = {}
    for silo, releases in state.answers().items():
        encoded = [encode_receipt(release) for release in releases]
        for receipt in encoded:
            _keep(run, silo, receipt)
        receipts[silo] = tuple(base64.b64encode(receipt).decode() for receipt in encoded)
    return receipts
