"""Run a plan over several tables on simulated silos, from folders of tables to a sampler."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from silosynth.client.families import FamilyRows, find_tables
from silosynth.client.gateway import Gateway, TablesDataset
from silosynth.client.ledger import Ledger
from silosynth.client.noise import BitSource
from silosynth.client.policy import Policy
from silosynth.client.source import load_secret, make_secret
from silosynth.client.sums import SUMS, SumMember, SumStore
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.certificate import certify_plan
from silosynth.common.errors import OutputExists
from silosynth.common.forest import ForestSampler, save_forest
from silosynth.common.messages import Request, encode_request, encode_sum_statement
from silosynth.common.plan import (
    Plan,
    check_budget,
    check_tables_plan,
    dump_plan,
    encode_plan,
    load_plan,
    plan_units,
)
from silosynth.common.tables import TablesSchema, dump_tables
from silosynth.server.coordinator import Agree, Answered, Event, Stated, finish_tables
from silosynth.server.driver import Journal, Progress
from silosynth.server.driver.drive import drive
from silosynth.simulations.one_process import write_private
from silosynth.simulations.tables import match_roster
from silosynth.simulations.run_files import RunDirectory
from silosynth.simulations.silos import SiloDirectory, alone


def simulate_tables(
    plan: Plan,
    *,
    schema: TablesSchema,
    silos: Mapping[str, Path],
    directory: Path,
    bits: Mapping[str, BitSource] | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> ForestSampler:
    """Run ``plan`` on one folder of tables a silo, and return the sampler that came of it.

    Each silo gets a gateway and a ledger of its own. Calling again with the same directory goes on
    where the last call stopped: what was released is not charged again.

    Args:
        silos: by silo, the folder with a file of each table.
        tell: gets what each silo's operator would be told of their tables.

    Raises InvalidPlan or InvalidTable before anything is spent, OutputExists for a directory that
    holds a run of another plan.
    """
    check_tables_plan(plan, schema)
    check_budget(plan)
    match_roster(silos, roster=plan.silos)
    files = {silo: find_tables(folder, schema=schema) for silo, folder in silos.items()}
    directory.mkdir(parents=True, exist_ok=True)
    run = RunDirectory(path=directory)
    with alone(run.path), ExitStack() as stack:
        _claim(run, plan=plan, schema=schema)
        gateways = {
            silo: stack.enter_context(
                _gateway(
                    SiloDirectory(path=run.silos / silo),
                    plan=plan,
                    rows=partial(FamilyRows, schema, files[silo]),
                    schema=schema,
                    bits=None if bits is None else bits[silo],
                    tell=partial(_tell_of, silo, tell),
                )
            )
            for silo in plan.silos
        }
        sealed = encode_plan(plan)

        def send(requests: Sequence[Request]) -> Iterable[Event]:
            for request in requests:
                gateway = gateways[request.silo]
                data = gateway.answer(plan=sealed, request=encode_request(request))
                yield Answered(phase=request.phase, silo=request.silo, data=data)

        def agree(steps: Sequence[Agree]) -> Iterable[Event]:
            for ask in steps:
                step = encode_sum_statement(ask.step)
                data = gateways[ask.silo].agree(plan=sealed, step=step)
                yield Stated(asked=ask.asked, session=ask.step.session, silo=ask.silo, data=data)

        with Journal(run.path, plan_digest=plan.digest, durable=False) as journal:
            state = drive(
                plan, schema, journal=journal, send=send, agree=agree, progress=progress, tell=tell
            )
        sampler = finish_tables(state)
        _write(run, plan, sampler)
    return sampler


def _tell_of(silo: str, tell: Callable[[str], None], line: str) -> None:
    tell(f"{silo}: {line}")


@contextmanager
def _gateway(
    silo: SiloDirectory,
    *,
    plan: Plan,
    rows: Callable[..., FamilyRows],
    schema: TablesSchema,
    bits: BitSource | None,
    tell: Callable[[str], None],
) -> Iterator[Gateway]:
    """Open the gateway of one silo, set up for its owner alone where it is not there yet."""
    silo.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    silo.path.chmod(0o700)
    if not silo.ledger.exists():
        write_private(silo.ledger, Ledger.blank())
    if not silo.secret.exists():
        make_secret(silo.secret)
    dataset = TablesDataset(
        schema=schema,
        rows=rows(secret=load_secret(silo.secret), spill=silo.path, tell_operator=tell),
        policy=Policy(),
    )
    project = Scope(kind=ScopeKind.PROJECT, name=plan.project)
    with Ledger.open(silo.ledger, caps={project: plan_units(plan)}) as ledger:
        yield Gateway(
            silo=silo.name,
            datasets={plan.dataset: dataset},
            ledger=ledger,
            sums=SumMember(silo=silo.name, store=SumStore(silo.path / SUMS), key=None),
            bits=bits,
            tell_operator=tell,
        )


def _claim(run: RunDirectory, *, plan: Plan, schema: TablesSchema) -> None:
    """Write plan and schema into a new directory; refuse one that belongs to another plan."""
    if not run.plan.exists():
        run.schema.write_text(dump_tables(schema), encoding="utf-8")
        run.plan.write_text(dump_plan(plan), encoding="utf-8")
    elif load_plan(run.plan).digest != plan.digest:
        raise OutputExists(
            f"{run.path} holds a run of another plan",
            hint="choose another directory, or add --force to replace it",
        )


def _write(run: RunDirectory, plan: Plan, sampler: ForestSampler) -> None:
    """Write sampler and certificate; the same run gives the same bytes."""
    save_forest(sampler, run.sampler, force=True)
    certificate = certify_plan(plan).model_dump(mode="json")
    text = json.dumps(certificate, indent=1, sort_keys=True)
    run.certificate.write_text(text + "\n", encoding="utf-8")
