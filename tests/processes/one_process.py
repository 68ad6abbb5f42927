"""The one-process driver of a signed plan: the same gateways and bits, called in turn."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from silosynth.client.gateway import Gateway
from silosynth.client.ledger import Ledger
from silosynth.client.policy import load_policy
from silosynth.client.silo import open_silo
from silosynth.common.messages import Request, encode_request, encode_sum_statement
from silosynth.common.plan import Plan, encode_plan
from silosynth.common.schema import Schema
from silosynth.common.trust import Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.server.coordinator import Agree, Answered, Decided, Event, Stated, make, replay
from silosynth.server.driver import Generator, Journal, no_generator
from silosynth.server.driver.drive import drive
from tests.processes.federation import SILOS, Federation
from tests.processes.gateway_main import SeededBits


def _ask(
    gateways: dict[str, Gateway], requests: Sequence[Request], *, plan: bytes, key: SigningKey
) -> Iterator[Event]:
    for request in requests:
        sealed = seal(encode_request(request), purpose=Purpose.REQUEST, key=key)
        data = gateways[request.silo].answer(plan=plan, request=sealed)
        yield Answered(phase=request.phase, silo=request.silo, data=data)


def _agree(
    gateways: dict[str, Gateway], steps: Sequence[Agree], *, plan: bytes, key: SigningKey
) -> Iterator[Event]:
    for ask in steps:
        step = encode_sum_statement(ask.step, key=key)
        data = gateways[ask.silo].agree(plan=plan, step=step)
        yield Stated(asked=ask.asked, session=ask.step.session, silo=ask.silo, data=data)


def sample_in_one_process(
    federation: Federation,
    directory: Path,
    *,
    plan: Plan,
    seeds: dict[str, int],
    schema: Schema | None = None,
    imagine: Generator = no_generator,
) -> bytes:
    """Return the sampler file that this federation's silos give without any process or network.

    ``federation`` gives keys and policies, and the schema of a plan that names none; its gateways
    must not be running.
    """
    schema = schema or federation.schema
    key = SigningKey.load(federation.certs.identity)
    sealed = seal(encode_plan(plan), purpose=Purpose.PLAN, key=key)
    with ExitStack() as stack:
        gateways = {
            silo: stack.enter_context(
                open_silo(load_policy(federation.policy(silo)), bits=SeededBits(seeds[silo]))
            ).gateway
            for silo in SILOS
        }
        journal = stack.enter_context(Journal(directory, plan_digest=plan.digest))
        for silo, gateway in gateways.items():
            journal.record(Decided(silo=silo, data=gateway.propose(plan=sealed)))
        journal = stack.enter_context(Journal(directory, plan_digest=plan.digest))
        assert replay(plan, schema, journal.events())[1]
        state = drive(
            plan,
            schema,
            journal=journal,
            imagine=imagine,
            send=lambda requests: _ask(gateways, requests, plan=sealed, key=key),
            agree=lambda steps: _agree(gateways, steps, plan=sealed, key=key),
        )
    path = directory / "one-process.sampler"
    make(state).save(path)
    return path.read_bytes()


def copy_of_silos(federation: Federation, directory: Path) -> Federation:
    """Return the same silos, keys and plan with ledgers that have spent nothing."""
    twin = Federation.__new__(Federation)
    twin.__dict__.update(federation.__dict__)
    twin.directory = directory
    for silo in SILOS:
        place = directory / silo
        skip = shutil.ignore_patterns("state")
        shutil.copytree(federation.directory / silo, place, ignore=skip)
        (place / "state").mkdir(mode=0o700)
        Ledger.create(twin.ledger(silo))
    return twin
