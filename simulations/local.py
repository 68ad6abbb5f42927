"""The one-process driver: every silo's gateway is called in turn, and open until the run ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

from silosynth.client.gateway.gateway import Gateway
from silosynth.client.noise.discrete_gaussian import BitSource
from silosynth.common.messages.request import Request, encode_request
from silosynth.common.messages.sums import encode_sum_statement
from silosynth.common.plan.plan import Plan, encode_plan
from silosynth.common.schema.schema import Schema
from silosynth.server.coordinator.state import Agree, Answered, Event, State, Stated
from silosynth.server.driver.drive import Progress, drive
from silosynth.server.driver.journal import Journal
from silosynth.simulations.silos import SiloDirectory, open_gateway


def run_local(
    plan: Plan,
    schema: Schema,
    *,
    silos: Sequence[SiloDirectory],
    journal: Journal,
    progress: Callable[[Progress], None] = lambda _: None,
    bits: Mapping[str, BitSource] | None = None,
    tell: Callable[[str], None] = lambda _: None,
    asked: Callable[[Request], None] = lambda _: None,
) -> State:
    """Drive a plan with the gateways in this process.

    Args:
        bits: a seam for tests: the source of random bits of each silo.
        asked: is told of every request.
    """
    by_name = {silo.name: silo for silo in silos}
    sealed = encode_plan(plan)
    with ExitStack() as stack:
        # Opening one checks its whole ledger, which a round of training adds to.
        opened: dict[str, Gateway] = {}

        def reach(silo: str) -> Gateway:
            if silo not in opened:
                source = bits[silo] if bits is not None else None
                opened[silo] = stack.enter_context(open_gateway(by_name[silo], bits=source))
            return opened[silo]

        def send(requests: Sequence[Request]) -> Iterable[Event]:
            for request in requests:
                asked(request)
                data = reach(request.silo).answer(plan=sealed, request=encode_request(request))
                yield Answered(phase=request.phase, silo=request.silo, data=data)

        def agree(steps: Sequence[Agree]) -> Iterable[Event]:
            for ask in steps:
                data = reach(ask.silo).agree(plan=sealed, step=encode_sum_statement(ask.step))
                session = ask.step.session
                yield Stated(asked=ask.asked, session=session, silo=ask.silo, data=data)

        return drive(
            plan, schema, journal=journal, send=send, agree=agree, progress=progress, tell=tell
        )
