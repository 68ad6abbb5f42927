"""The one-process driver: every silo's gateway is called in turn, and open until the run ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa

from silosynth.client.gateway import Gateway
from silosynth.client.ledger import Ledger
from silosynth.client.noise import BitSource
from silosynth.common.codec import Codec
from silosynth.common.messages import (
    Request,
    encode_request,
    encode_sum_statement,
    request_prefix,
)
from silosynth.common.plan import Plan, encode_plan, plan_units
from silosynth.common.sampler import dump_sampler
from silosynth.common.schema import Schema, dump_schema
from silosynth.server.coordinator import Agree, Answered, Event, State, Stated, finish
from silosynth.server.driver import Generator, Journal, Progress, no_generator
from silosynth.server.driver.drive import drive
from silosynth.simulations.audit import Ran, Runs
from silosynth.simulations.one_process import HeldLedgers, OneProcess, Remembered, fits_memory
from silosynth.simulations.several import run_families
from silosynth.simulations.silos import (
    SiloDirectory,
    make_silos,
    open_gateway,
    refill_silos,
    secrets_of,
)

_ONCE = Remembered(2)
"""An audit runs hundreds of plans of one schema."""


def run_local(
    plan: Plan,
    schema: Schema,
    *,
    silos: Sequence[SiloDirectory],
    journal: Journal,
    progress: Callable[[Progress], None] = lambda _: None,
    bits: Mapping[str, BitSource] | None = None,
    tell: Callable[[str], None] = lambda _: None,
    tables: Mapping[str, pa.Table] | None = None,
    answered: Callable[[Request, bytes], None] = lambda *_: None,
    samplers: Callable[[str], bytes | None] | None = None,
    times: int = 1,
    imagine: Generator = no_generator,
) -> State:
    """Drive a plan with the gateways in this process.

    Where a plan's releases are small, the silos' ledgers are held in memory, and written before
    the answers of a phase go on, with one sync for all.

    Args:
        bits: a seam for tests: the source of random bits of each silo.
        tables: the silos' rows, where they are in memory already.
        answered: is told of every request and its answer.
        samplers: finds the sampler that a plan evaluates, by the plan that it is of.
        times: how often the silos' budgets have room for the plan at least.
        imagine: writes what silos vote for.
    """
    by_name = {silo.name: silo for silo in silos}
    sealed = encode_plan(plan)
    ledgers = HeldLedgers() if fits_memory(plan) else None
    codec = _ONCE(("codec", schema.digest), lambda: Codec(schema))
    shared = OneProcess(codec=codec, tables=tables or {}, ledgers=ledgers)
    with ExitStack() as stack:
        # Opening one checks its whole ledger, which a round of training adds to.
        opened: dict[str, Gateway] = {}

        def reach(silo: str) -> Gateway:
            if silo not in opened:
                gateway = open_gateway(
                    by_name[silo],
                    bits=bits[silo] if bits is not None else None,
                    shared=shared,
                    samplers=samplers,
                    least_units=times * plan_units(plan),
                )
                opened[silo] = stack.enter_context(gateway)
            return opened[silo]

        def answers(requests: Sequence[Request]) -> Iterator[Event]:
            for request in requests:
                data = reach(request.silo).answer(plan=sealed, request=encode_request(request))
                answered(request, data)
                yield Answered(phase=request.phase, silo=request.silo, data=data)

        def send(requests: Sequence[Request]) -> Iterable[Event]:
            return answers(requests) if ledgers is None else _settled(answers(requests), ledgers)

        def agree(steps: Sequence[Agree]) -> Iterable[Event]:
            for ask in steps:
                data = reach(ask.silo).agree(plan=sealed, step=encode_sum_statement(ask.step))
                session = ask.step.session
                yield Stated(asked=ask.asked, session=session, silo=ask.silo, data=data)

        return drive(
            plan,
            schema,
            journal=journal,
            send=send,
            agree=agree,
            imagine=imagine,
            progress=progress,
            tell=tell,
        )


def _settled(events: Iterable[Event], ledgers: HeldLedgers) -> list[Event]:
    """Return all answers of a phase, once every charge and release behind them is on disk."""
    collected = list(events)
    ledgers.settle()
    return collected


def run_whole(
    plan: Plan,
    schema: Schema,
    *,
    tables: Mapping[str, pa.Table],
    person_column: str,
    directory: Path,
    bits: Mapping[str, BitSource],
    sampler: bytes | None = None,
    imagine: Generator = no_generator,
) -> Ran:
    """Run a plan on tables in a directory; return answers and what ledgers were charged for it.

    ``sampler`` is what a plan evaluates, of silos that were trained on in this directory;
    ``imagine`` writes what rows vote for.
    """
    path, silos = directory / "schema.yaml", directory / "silos"
    path.write_text(_ONCE(("schema", schema.digest), lambda: dump_schema(schema)))
    if sampler is None:
        places = make_silos(
            silos, plan=plan, schema_path=path, tables=tables, person_column=person_column
        )
    else:
        places = refill_silos(silos, tables=tables)
    answers: list[tuple[Request, bytes]] = []
    with Journal(directory, plan_digest=plan.digest) as journal:
        state = run_local(
            plan,
            schema,
            silos=places,
            journal=journal,
            bits=bits,
            answered=lambda request, data: answers.append((request, data)),
            samplers=None if sampler is None else lambda _: sampler,
            imagine=imagine,
        )
    return Ran(
        answers=answers,
        charges=[_charged(silo, plan) for silo in places],
        secrets=secrets_of(places),
        sampler=lambda: dump_sampler(finish(state).sampler),
    )


WHOLE = Runs(table=run_whole, families=run_families)
"""What runs a whole plan, of one table or of several."""


def _charged(silo: SiloDirectory, plan: Plan) -> dict[str, int]:
    """Return the units that a silo's ledger was charged for each request of a plan."""
    prefix = request_prefix(plan.digest)
    with Ledger.open(silo.ledger, caps={}) as ledger:
        charges = [c for c in ledger.charges() if c.request_id.startswith(prefix)]
    return {c.request_id: c.cost_units for c in charges}
