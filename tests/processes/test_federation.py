"""Three silos, a SuperLink with TLS and authentication, a coordinator: all real processes."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from silosynth.client.relay import relay
from silosynth.client.relay.superlink_session import Session, open_session
from silosynth.client.source import Part, load_secret, splitting
from silosynth.common.errors import ConnectionFailed
from silosynth.common.generator import MaskedMlp
from silosynth.common.messages import Bundle
from silosynth.common.plan import Plan, load_plan, plan_units
from silosynth.common.report import Mode
from silosynth.common.report.facts import decode_facts
from silosynth.common.telemetry.telemetry import Role, Telemetry
from silosynth.common.trust import SigningKey
from silosynth.server.driver import generator_of
from silosynth.server.federation import (
    admit_nodes,
    find_federation,
    list_nodes,
    load_roster,
    make_certs,
    with_roster,
)
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from tests.processes import fourth
from tests.processes.federation import (
    NAME,
    SILOS,
    Federation,
    federation_plan,
    read_audit,
    wait_for,
)
from tests.processes.one_process import copy_of_silos, sample_in_one_process
from tests.processes.silo_messages import ROUNDS, WaitingGenerator, WithMessages
from tests.support.chance import SubGaussian, agrees, statistical
from tests.support.patience import paced, patience
from tests.support.tables.texts import messages


@pytest.fixture(scope="module")
def federation() -> Iterator[WithMessages]:
    """Start a federation once, for all tests of this file."""
    with (
        tempfile.TemporaryDirectory(prefix="federation-") as directory,
        WithMessages(Path(directory), held_out=Fraction(1, 4)) as started,
    ):
        started.start()
        yield started


def test_a_run_over_processes_ends_in_the_sampler_of_the_one_process_driver(
    federation: Federation, tmp_path: Path
) -> None:
    twin = copy_of_silos(federation, tmp_path)
    done = federation.run()
    assert done["exit_code"] == 0, federation.log("coordinator")
    assert done["data"]["silos"] == list(SILOS)
    assert done["data"]["unacknowledged"] == {}
    sampler = Path(done["data"]["sampler"]).read_bytes()
    seeds = {silo: i for i, silo in enumerate(SILOS)}
    (tmp_path / "run").mkdir()
    alone = sample_in_one_process(twin, tmp_path / "run", plan=federation.plan, seeds=seeds)
    assert sampler == alone
    other = {silo: 100 + i for i, silo in enumerate(SILOS)}
    again = copy_of_silos(federation, tmp_path / "again")
    (tmp_path / "other").mkdir()
    assert sampler != sample_in_one_process(
        again, tmp_path / "other", plan=federation.plan, seeds=other
    )
    for silo in SILOS:
        _check_delivered(federation, silo, sampler)
    _check_reported(federation, done["data"]["run_id"])


def _check_reported(federation: Federation, run_id: str) -> None:
    """Report the run at the coordinator, from what the silos released."""
    done = federation.command("report", run_id, "--json")
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)["data"]
    facts = decode_facts(Path(written["json"]).read_bytes())
    assert facts.mode is Mode.FEDERATION
    assert facts.plan.digest == federation.plan.digest
    assert {silo.name for silo in facts.silos} == set(SILOS)
    assert Path(written["html"]).stat().st_size > 10_000
    assert federation.command("report", "nobody-20260301-120000-1a2b").returncode == 4


def _check_like_one_process(federation: Federation, plan: Plan, directory: Path) -> None:
    """Run another plan over the processes and in one, and compare the samplers."""
    kept = federation.plan
    federation.write_plan(plan)
    for silo in SILOS:  # the seeds of their bits begin anew
        federation.stop(f"gateway-{silo}")
        federation.start_gateway(silo)
    twin = copy_of_silos(federation, directory)
    done = federation.run()
    federation.write_plan(kept)
    assert done["exit_code"] == 0, federation.log("coordinator")
    assert done["data"]["unacknowledged"] == {}
    (directory / "run").mkdir()
    seeds = {silo: i for i, silo in enumerate(SILOS)}
    alone = sample_in_one_process(twin, directory / "run", plan=plan, seeds=seeds)
    assert Path(done["data"]["sampler"]).read_bytes() == alone


def test_a_shared_run_over_processes_ends_in_the_sampler_of_the_one_process_driver(
    federation: Federation, tmp_path: Path
) -> None:
    plan = federation_plan(federation.certs, plan_id="sum", trust="shared", epsilon=0.5)
    _check_like_one_process(federation, plan, tmp_path)
    for silo in SILOS:
        charges = read_audit(federation, silo)[1].account.charges
        sums = [c for c in charges.values() if c.facts["plan_id"] == "sum"]
        assert len(sums) == len(plan.phases)
        for charge in sums:
            assert charge.facts["alone_units"] == pytest.approx(3 * charge.cost_units, rel=1e-6)
            assert charge.facts["session"] == 1


def test_a_network_is_trained_over_processes_as_in_one(
    federation: Federation, tmp_path: Path
) -> None:
    choice = TrainingChoice(
        architecture=MaskedMlp(width=8, layers=1, views=1), rounds=2, local_steps=2
    )
    plan = federation_plan(
        federation.certs, plan_id="net", method="dp-sgd", epsilon=0.5, training=choice
    )
    _check_like_one_process(federation, plan, tmp_path)
    for silo in SILOS:
        charges = read_audit(federation, silo)[1].account.charges
        rounds = [c for c in charges.values() if c.facts["plan_id"] == "net" and c.rdp]
        assert [c.facts["round"] for c in rounds] == [0, 1]


def test_a_coordinator_that_dies_while_candidates_are_written_asks_for_those_alone(
    federation: WithMessages, tmp_path: Path
) -> None:
    kept, plan = federation.plan, federation.votes_plan()
    federation.write_plan(plan)
    for silo in SILOS:  # the seeds of their bits begin anew
        federation.stop(f"gateway-{silo}")
        federation.start_gateway(silo)
    twin = copy_of_silos(federation, tmp_path)
    generator = WaitingGenerator(tmp_path)
    done = federation.run_killed_at_variations(generator)
    federation.write_plan(kept)
    assert done["unacknowledged"] == {}
    first, killed, again = generator.asked()
    assert not any(first)
    assert killed == again, "what was written before is asked for no more"
    assert all(killed)
    (tmp_path / "run").mkdir()
    alone = sample_in_one_process(
        twin,
        tmp_path / "run",
        plan=plan,
        seeds={silo: i for i, silo in enumerate(SILOS)},
        schema=messages(),
        imagine=generator_of(generator.path, plan),
    )
    assert Path(done["sampler"]).read_bytes() == alone
    for silo in SILOS:
        charges = read_audit(federation, silo)[1].account.charges.values()
        votes = [c for c in charges if c.facts["plan_id"] == plan.id]
        assert len(votes) == len(plan.phases) == 1 + len(ROUNDS), "each histogram is paid for once"


def _check_delivered(federation: Federation, silo: str, sampler: bytes) -> None:
    """Check that the silo keeps the sampler, under the coordinator's signature."""
    kept = list(federation.ledger(silo).parent.rglob("result.bundle"))
    bundle = Bundle.decode(kept[0].read_bytes())
    coordinator = SigningKey.load(federation.certs.identity).public
    assert bundle.open(trusted=(coordinator,)).silos == SILOS
    assert bundle.sampler == sampler


def test_nothing_of_the_tables_is_in_what_the_coordinator_keeps(federation: Federation) -> None:
    _let_run(federation)
    words = [b"table.parquet", b"persons.secret"]
    kept = [path for path in (federation.home / "runs").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        data = path.read_bytes()
        assert not [w for w in words if w in data], path


def test_running_the_same_plan_again_spends_nothing(federation: Federation) -> None:
    _let_run(federation)
    before = {s: _spent(federation, s) for s in SILOS}
    done = federation.run()
    assert done["exit_code"] == 0, federation.log("coordinator")
    assert {s: _spent(federation, s) for s in SILOS} == before
    assert all(before.values())


@statistical(alarm=1e-10)
def test_people_who_were_held_out_judge_the_sampler_over_processes(
    federation: Federation, tmp_path: Path
) -> None:
    _let_run(federation)
    trained = sorted(p.parent.name for p in (federation.home / "runs").glob("p-*/result.sampler"))
    path, kept = tmp_path / "eval.yaml", federation.plan
    planned = federation.command("plan", "evaluate", trained[0], "--out", str(path), "--json")
    assert planned.returncode == 0, planned.stderr
    asked = load_plan(path)
    federation.write_plan(asked)
    try:
        done = federation.run()
    finally:
        federation.write_plan(kept)
    assert done["exit_code"] == 0, federation.log("coordinator")
    found = json.loads(Path(done["data"]["evaluation"]).read_text())
    people = found["people"]
    variance = ((people["value"] - people["low"]) / 1.645) ** 2
    law = SubGaussian(mean=_held_out(federation, asked), variance=variance)
    agrees(people["value"], law=law, mutants={}, alarm=1e-10)
    assert set(found["silos"]) == set(SILOS)
    assert "people were held out and asked" in federation.log("coordinator")
    for silo in SILOS:
        sums = read_audit(federation, silo)[1].account.parts.values()
        assert set(sums) == {(plan_units(kept), plan_units(asked))}
    _check_judged_page(federation, trained[0], done["data"]["run_id"])


def _held_out(federation: Federation, plan: Plan) -> int:
    """Return how many persons the silos hold out, each by its own secret."""
    assert plan.held_out is not None
    found = 0
    for silo in SILOS:
        secret = load_secret(federation.directory / silo / "persons.secret")
        part = Part(
            splitting=splitting(secret, dataset=plan.dataset, person_column="who"),
            share=plan.held_out.share,
            held_out=True,
        )
        rows = pq.read_table(federation.table(silo))
        (fragment,) = part.of([rows.slice])
        found += len(set(fragment()["who"].to_pylist()))
    return found


def _check_judged_page(federation: Federation, run: str, evaluation: str) -> None:
    """Report the run with what its evaluation found."""
    done = federation.command("report", run, "--evaluation", evaluation, "--force", "--json")
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)["data"]
    facts = decode_facts(Path(written["json"]).read_bytes())
    assert facts.mode is Mode.FEDERATION
    assert facts.held_out is not None
    assert {found.silo for found in facts.held_out.silos} == set(SILOS)
    assert "Measured on people who were held out" in Path(written["html"]).read_text()


def _let_run(federation: Federation) -> None:
    """Run the federation's plan, unless a test before did."""
    if not all(_spent(federation, silo) for silo in SILOS):
        assert federation.run()["exit_code"] == 0, federation.log("coordinator")


def _spent(federation: Federation, silo: str) -> int:
    """Return how many charges of the federation's plan the ledger of a silo holds."""
    charges = read_audit(federation, silo)[1].account.charges.values()
    return sum(c.facts["plan_id"] == federation.plan.id for c in charges)


def test_a_supernode_whose_key_is_not_admitted_is_refused(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "flwr"))
    monkeypatch.setattr(relay, "_REJOIN_SECONDS", 1.0)
    stranger = make_certs(tmp_path / "stranger", silos=("east",), hosts=("localhost",))
    settings = relay.RelaySettings(
        superlink=f"127.0.0.1:{federation.port}",
        ca=federation.certs.ca,
        key=stranger.silo("east") / "supernode.pem",
        silo="east",
        gateway=federation.gateway_socket("north"),
    )
    with pytest.raises(ConnectionFailed, match="the SuperNode ended"):
        relay.serve_relay(settings, telemetry=Telemetry(role=Role.RELAY))
    assert "east" not in list_nodes(find_federation(federation.home, NAME))


def test_a_supernode_that_trusts_another_ca_does_not_connect(
    federation: Federation, tmp_path: Path
) -> None:
    other = make_certs(tmp_path / "other", silos=("east",), hosts=("localhost", "127.0.0.1"))
    federation.stop("relay-west")
    connection = find_federation(federation.home, NAME)
    wait_for("west's leaving", lambda: list_nodes(connection)["west"] != "online", seconds=90)
    federation.start_relay("west", ca=other.ca)
    wait_for(
        "the refusal", lambda: "certificate" in federation.log("relay-west").lower(), seconds=60
    )
    assert list_nodes(connection)["west"] != "online"
    federation.stop("relay-west")
    federation.start_relay("west")
    federation.wait_online(["west"])


def test_a_session_that_a_killed_supernode_left_is_ended_by_its_own_key_alone(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = find_federation(federation.home, NAME)
    others = make_certs(tmp_path / "others", silos=("ghost", "thief"), hosts=("localhost",))
    admit_nodes(connection, {s: others.silo(s) / "supernode.pub" for s in ("ghost", "thief")})
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "flwr"))
    ghost, thief = (others.silo(s) / "supernode.pem" for s in ("ghost", "thief"))
    with _session(federation, ghost) as session, _session(federation, thief) as stranger:
        assert not session.end_stale(), "nothing was open"
        assert session.known_node() is not None
        _go_online(session)
        assert list_nodes(connection)["ghost"] == "online"
        with pytest.raises(httpx.HTTPStatusError, match="412"):
            _go_online(session)
        stranger.record.write_bytes(session.record.read_bytes())
        assert not stranger.end_stale()
        assert list_nodes(connection)["ghost"] == "online", "a stranger ended the session"
        assert stranger.known_node() != session.known_node(), "a wrong id is learnt anew"
        assert session.end_stale()
        assert list_nodes(connection)["ghost"] == "offline"
        _go_online(session)
        assert session.end_stale()


def _session(federation: Federation, key: Path) -> AbstractContextManager[Session]:
    superlink = f"127.0.0.1:{federation.port}"
    return open_session(superlink=superlink, key=key, ca=federation.certs.ca)


def _go_online(session: Session) -> None:
    """Begin a session as a SuperNode does, and leave it open as one that is killed."""
    public = public_key_to_bytes(session.key.public_key())
    with session.fleet() as fleet:
        fleet.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=30))


def test_a_coordinator_that_trusts_another_ca_ends_with_the_code_of_connections(
    federation: Federation, tmp_path: Path
) -> None:
    other = make_certs(tmp_path / "other", silos=("east",), hosts=("localhost", "127.0.0.1"))
    config = federation.home / "federations.toml"
    text = config.read_text()
    config.write_text(text.replace(str(federation.certs.ca), str(other.ca)))
    try:
        done = federation.run()
    finally:
        config.write_text(text)
    assert done["exit_code"] == 2
    assert done["error"]["code"] == "connection-failed"
    assert "certificate" in done["error"]["hint"]


def test_a_node_without_the_rosters_key_gets_no_plan(
    federation: Federation, tmp_path: Path
) -> None:
    """North's SuperNode is admitted, but what stands behind it signs with south's key."""
    swapped = federation_plan(federation.certs, plan_id="swapped", on_absent="continue")
    roster = dict(swapped.roster) | {"north": SigningKey.generate().public}
    plan = swapped.model_copy(
        update={
            "roster": roster,
            "approval_seconds": math.ceil(paced(15)),
            "deadline_seconds": math.ceil(patience(60)),
        }
    )
    kept = federation.plan
    federation.write_plan(plan)
    begun = time.monotonic()
    done = federation.run()
    federation.write_plan(kept)
    assert done["exit_code"] == 3
    assert done["error"]["code"] == "deadline-exceeded"
    assert "silo north" in done["error"]["message"]
    assert time.monotonic() - begun < patience(60), "nobody waits for the plan's own deadline"
    log = Path(federation.home / "runs").glob("swapped-*/coordinator.log")
    lines = [json.loads(line) for line in next(iter(log)).read_text().splitlines()]
    assert [line for line in lines if line["event"] == "node-rejected"]
    connected = {line["silo"] for line in lines if line["event"] == "silo-connected"}
    assert connected == {"south", "west"}


def test_a_fourth_silo_comes_in_by_two_files_and_no_restart(
    federation: Federation, tmp_path: Path
) -> None:
    """Last in this file: the federation is of four then, and of three again."""
    kept, before = federation.plan, {name: p.pid for name, p in federation.processes.items()}
    begun = time.monotonic()
    request, words = fourth.join(federation)
    kit = tmp_path / "east.kit"
    start = ("--federation", NAME, "--roster", str(federation.certs.roster))
    schema = ("--schema", str(federation.directory / "schema.yaml"))
    told = ("--words", words, "--out", str(kit))
    added = fourth.say(federation, "roster", "add", str(request), *start, *schema, *told)
    assert all(added["silos"][s].startswith("waits for a person") for s in SILOS), added
    fourth.take_kit(federation, kit, words=added["words"])
    fourth.start(federation)
    for silo in SILOS:
        fourth.approve(federation, silo, words=words)
    sent = fourth.say(federation, "roster", "send", "--federation", NAME)
    assert sent["silos"] == dict.fromkeys((*SILOS, fourth.EAST), "goes by it")
    _run_four(federation, Path(sent["roster"]))
    assert time.monotonic() - begun < patience(180), "a silo comes in within three minutes"
    running = {name: p.pid for name, p in federation.processes.items()}
    assert {n: pid for n, pid in running.items() if n in before and n != "coordinator"} == {
        n: pid for n, pid in before.items() if n != "coordinator"
    }, "nobody was restarted"
    removed = fourth.say(federation, "roster", "remove", fourth.EAST, "--federation", NAME)
    assert set(removed["silos"]) == set(SILOS)
    nodes = list_nodes(find_federation(federation.home, NAME))
    assert nodes.get(fourth.EAST) != "online", "its SuperNode connects no more"
    federation.write_plan(kept)


def _run_four(federation: Federation, roster: Path) -> None:
    """Run a plan over the four; each of them pays for it and keeps the result."""
    silos = (*SILOS, fourth.EAST)
    plan = new_plan(
        federation.schema,
        epsilon=0.5,
        delta=1e-6,
        silos=silos,
        method="independent",
        plan_id="four",
    )
    federation.write_plan(with_roster(plan, load_roster(roster)))
    done = federation.run()
    assert done["exit_code"] == 0, federation.log("coordinator")
    assert done["data"]["silos"] == list(silos)
    assert done["data"]["unacknowledged"] == {}
