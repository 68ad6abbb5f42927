"""Coordinators' homes with runs in them, made without silos, SuperLink or time."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from silosynth.common.messages import Answer, Request, Verdict, encode_request, encode_statement
from silosynth.common.plan import Plan, parse_plan
from silosynth.common.trust import Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.server.coordinator import Acknowledged, Answered, Decided, Event
from silosynth.server.driver import Journal, Signed
from silosynth.server.driver.drive import drive
from silosynth.server.federation import Ended, RunFiles, RunState, begin_run
from silosynth.server.federation.letters import seal_plan
from silosynth.server.federation.results import conclude
from silosynth.server.federation.run_files import lock_run, write_ended
from silosynth.server.federation.standing import Standing, Waiting, keep_standing
from silosynth.server.planning import new_plan
from tests.support.fakes import SILOS, small_schema
from tests.support.signed_fakes import COORDINATOR, FakeSilo, signed_plan

BEGUN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def whole_run(home: Path, *, token: str = "aaaa") -> RunFiles:
    """Return a run that three silos approved, answered and took the result of."""
    plan, silos = signed_plan(), {name: FakeSilo(name) for name in SILOS}
    files = begin_run(
        home, plan=plan, schema=small_schema(), federation="f", now=BEGUN, token=token
    )
    sealed = seal_plan(plan, COORDINATOR)

    def propose(names: Sequence[str]) -> Iterator[Event]:
        for name in names:
            yield Decided(
                silo=name, data=silos[name].answer("propose", {"plan": sealed})["verdict"]
            )

    def send(requests: Sequence[Request]) -> Iterable[Event]:
        for request in requests:
            fields = {
                "plan": sealed,
                "request": seal(encode_request(request), purpose=Purpose.REQUEST, key=COORDINATOR),
            }
            data = silos[request.silo].answer("measure", fields)["release"]
            yield Answered(phase=request.phase, silo=request.silo, data=data)

    def deliver(names: Sequence[str]) -> Iterator[Event]:
        for name in names:
            said = silos[name].answer("deliver", {"bundle": files.bundle.read_bytes()})
            yield Acknowledged(silo=name, data=said["acknowledgement"])

    with Journal(files.path, plan_digest=plan.digest, durable=False) as journal:
        state = drive(
            plan,
            small_schema(),
            journal=journal,
            send=send,
            signed=Signed(
                propose=propose,
                conclude=lambda ended: conclude(
                    ended,
                    plan=plan,
                    files=files,
                    key=COORDINATOR,
                    keep=lambda _silo, _receipt: None,
                    reached=lambda _: None,
                ),
                deliver=deliver,
            ),
        )
    write_ended(files, Ended(state=RunState.COMPLETED, silos=state.silos))
    return files


def copy_run(run: RunFiles, home: Path, *, number: int, state: RunState) -> RunFiles:
    """Put a copy of a run into a home, begun ``number`` minutes later, and ended as given."""
    begun = BEGUN + timedelta(minutes=number)
    run_id = f"p-{begun:%Y%m%d-%H%M%S}-{number:04x}"
    files = RunFiles(path=home / "runs" / run_id)
    files.path.mkdir(parents=True)
    for source in (run.plan, run.schema, run.sampler, run.certificate):
        shutil.copy(source, files.path)
    text = run.begun.read_text().replace(run.id, run_id)
    files.begun.write_text(text.replace(f"{BEGUN:%Y-%m-%dT%H:%M:%S}", f"{begun:%Y-%m-%dT%H:%M:%S}"))
    write_ended(files, Ended(state=state))
    return files


def wide_plan(keys: dict[str, SigningKey]) -> Plan:
    """Return a plan of as many silos as there are keys."""
    plan = new_plan(
        small_schema(), epsilon=1.0, delta=1e-6, silos=list(keys), plan_id="wide", method="mst"
    )
    roster = {name: key.public for name, key in keys.items()}
    return parse_plan(plan.model_dump(mode="json") | {"roster": roster})


@contextmanager
def running(
    home: Path, plan: Plan, keys: dict[str, SigningKey], *, runs: int
) -> Iterator[list[RunFiles]]:
    """Yield runs that somebody pumps: half of their silos approved, for the others they wait."""
    with ExitStack() as held:
        found = []
        for number in range(runs):
            files = begin_run(
                home,
                plan=plan,
                schema=small_schema(),
                federation="f",
                now=BEGUN + timedelta(days=1, minutes=number),
                token=f"{number:04x}",
            )
            held.enter_context(lock_run(files))
            names = list(plan.silos)
            with Journal(files.path, plan_digest=plan.digest, durable=False) as journal:
                for name in names[: len(names) // 2]:
                    said = Verdict(silo=name, plan_digest=plan.digest, answer=Answer.APPROVED)
                    data = encode_statement(said, key=keys[name])
                    journal.record(Decided(silo=name, data=data))
            kinds = list(Standing)
            waiting = {
                name: Waiting(what=kinds[i % len(kinds)], since=BEGUN, why="a person decides")
                for i, name in enumerate(names[len(names) // 2 :])
            }
            keep_standing(files.standing, waiting)
            found.append(files)
        yield found
