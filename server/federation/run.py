"""Run a plan over a federation, from its first proposal to the last acknowledgement."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from silosynth.common.errors import InvalidPlan, RunFailed, SilosynthError, StorageFailed
from silosynth.common.files import storage_error
from silosynth.common.plan import Plan, check_any_plan, check_budget
from silosynth.common.tables import AnySchema
from silosynth.common.telemetry import log
from silosynth.common.trust import SigningKey
from silosynth.server.coordinator import State
from silosynth.server.driver import count_cost
from silosynth.server.federation.pump import Run, Watchers, run_to_end
from silosynth.server.federation.results import keep_trained
from silosynth.server.federation.run_files import (
    Begun,
    Ended,
    RunFiles,
    RunState,
    describe_failure,
    lock_run,
    read_ended,
    read_plan,
    write_ended,
)
from silosynth.server.federation.settings import Federation
from silosynth.server.methods import require_generators

_RESUME = "make room or mend the disk, then 'silosynth run --resume {run}': nothing is lost"
MOST_RECEIPTS = 10_000


def check_runnable(plan: Plan, schema: AnySchema) -> None:
    """Raise InvalidPlan unless a federation can run a plan: it fits, keeps its word, has keys.

    Raises RunFailed when what the plan trains cannot be trained here.
    """
    check_any_plan(plan, schema)
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
        keep_trained(home, plan, files)
        run = Run(
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
                state = run_to_end(run)
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
