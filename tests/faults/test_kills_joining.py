"""Whoever is killed at whatever step of joining or of a notice: the same again ends it well."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.ledger import Ledger
from silosynth.client.policy import NewSilo, NotifySection, load_policy
from silosynth.client.serving.bell import AGAIN_SECONDS, Bell
from silosynth.client.serving.notices import senders
from silosynth.client.silo import ask_for_new_key, ask_to_join, ledger_path, take_kit
from silosynth.common.cli.app import run
from silosynth.common.roster import decode_request, key_words, open_kit
from silosynth.common.schema import dump_schema
from silosynth.common.telemetry.telemetry import Role, Telemetry
from silosynth.common.trust import SigningKey
from silosynth.server.federation import Federation as Connection
from silosynth.server.federation import add_federation, chain_path, make_certs, read_chain
from silosynth.server.federation.certs import Certs
from tests.support.gateways.joining import asks, decides, gains, goes_by, pending, proposes
from tests.support.gateways.joining import roster_of as first_roster
from tests.support.gateways.signed import Federation, people
from tests.support.killed import killed_everywhere

EAST = SigningKey.generate()


class Disk:
    """Own a folder that is put back as it was before each kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept = folder.with_name(f"{folder.name} kept")
        shutil.copytree(folder, self._kept)

    def each(self, work: Callable[[], object], *, then: Callable[[], object]) -> int:
        """Kill the work at each step, and look at what is left; return how many steps there are."""
        steps = 0
        for step in killed_everywhere(work):
            steps = step
            then()
            shutil.rmtree(self.folder)
            shutil.copytree(self._kept, self.folder)
        return steps


def _quietly(*words: str | Path) -> int:
    return run([*map(str, words), "--json"])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def test_a_silo_that_dies_as_it_asks_asks_again_with_whole_keys(place: Path) -> None:
    """A key that was sent is the key that is there: a second one would need a second call."""
    east = place / "east"

    def then() -> None:
        sent = east / "east.join"
        before = decode_request(sent.read_bytes(), origin="x") if sent.exists() else None
        joining = ask_to_join(east, name="east", project="default")
        assert before in (None, joining.request)
        assert SigningKey.load(joining.key).public == joining.request.asked.key
        public = (east / "relay/supernode.pub").read_text().strip()
        assert joining.request.asked.supernode == public

    steps = Disk(place).each(lambda: ask_to_join(east, name="east", project="default"), then=then)
    assert steps > 20


@pytest.fixture
def certs(place: Path, monkeypatch: pytest.MonkeyPatch) -> Certs:
    """Make a coordinator of two silos."""
    made = make_certs(place / "certs", silos=("north", "south"), hosts=("localhost",))
    monkeypatch.setenv("SILOSYNTH_HOME", str(place / "home"))
    connection = Connection(
        superlink="localhost:9092", ca=made.ca, identity=made.identity, superexec_secret=made.secret
    )
    add_federation(place / "home", "hub", connection)
    (place / "schema.yaml").write_text(dump_schema(people()))
    return made


def _adding(place: Path, certs: Certs) -> tuple[str | Path, ...]:
    """Return the words by which the coordinator answers east."""
    joining = ask_to_join(place / "east", name="east", project="default")
    words = key_words("east", joining.request.asked.key)
    out = ("--out", place / "east.kit", "--schema", place / "schema.yaml", "--words", words)
    return ("roster", "add", joining.path, "--federation", "hub", "--no-send", *out)


def test_a_coordinator_that_dies_as_it_answers_signs_one_change_and_one_kit(
    place: Path, certs: Certs, capfd: pytest.CaptureFixture[str]
) -> None:
    words = _adding(place, certs)
    path = chain_path(place / "home", federation="hub", project="default")
    signer = SigningKey.load(certs.identity).public

    def then() -> None:
        begun = path.joinpath("start.json").exists()
        before = read_chain(path, coordinator=signer).changes if begun else ()
        more = () if begun else ("--roster", certs.roster)
        assert _quietly(*words, *more, "--force") == 0, capfd.readouterr()
        chain = read_chain(path, coordinator=signer)
        assert chain.changes[: len(before)] == before
        assert len(chain.changes) == 1
        kit, change, key = open_kit((place / "east.kit").read_bytes())
        assert (change.digest, key) == (chain.changes[0].change.digest, signer)
        assert kit.schema_text is not None

    steps = Disk(place).each(lambda: _quietly(*words, "--roster", certs.roster), then=then)
    assert steps > 20


def test_a_silo_that_dies_as_it_settles_ends_with_its_policy_and_an_empty_ledger(
    place: Path, certs: Certs, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _quietly(*_adding(place, certs), "--roster", certs.roster) == 0
    kit, change, signer = open_kit((place / "east.kit").read_bytes())
    east = place / "east"
    new = NewSilo(name="east", schema=east / "schema.yaml", table=place / "people.parquet")

    def settle() -> None:
        take_kit(east, kit, change, signer=signer, new=new)

    def then() -> None:
        if not (east / "silo.toml").exists():
            settle()
        policy = load_policy(east / "silo.toml")
        assert policy.projects[0].roster == dict(change.silos)
        with Ledger.open(ledger_path(policy), caps=policy.scope_caps()) as ledger:
            assert not ledger.verify().charges
        assert Path(policy.silo.persons_secret).stat().st_size == 32
        assert (east / "relay/ca.pem").read_bytes() == certs.ca.read_bytes()

    assert Disk(place).each(settle, then=then) > 20


@pytest.fixture
def federation(place: Path) -> Federation:
    return Federation(directory=place)


def test_a_silo_that_dies_as_it_approves_a_change_goes_by_the_old_roster_or_the_new(
    federation: Federation, place: Path
) -> None:
    change = gains(first_roster(federation), asks("east", EAST))
    with federation.open():
        pass

    def approve() -> None:
        with federation.open() as silo:
            proposes(federation, silo, change)
            decides(federation, silo, change.digest)

    def then() -> None:
        with federation.open() as silo:
            version = goes_by(federation, silo)["version"]
            assert version in (0, 1)
            said = proposes(federation, silo, change)
            if version:
                assert said.answer.value == "approved"
            else:
                assert [p["id"] for p in pending(federation, silo)] == ["roster-default-1"]
                decides(federation, silo, change.digest)
            assert goes_by(federation, silo)["version"] == 1
            assert len(silo.ledger.rosters) == 1
            assert proposes(federation, silo, change).answer.value == "approved"

    assert Disk(place).each(approve, then=then) > 4


def test_a_silo_that_dies_as_it_asks_for_another_key_keeps_the_one_it_has(
    federation: Federation, place: Path
) -> None:
    node = place / "supernode.pub"
    node.write_text(asks("north", EAST).asked.supernode)
    out, key = place / "north.join", Path(federation.policy.silo.key)
    held = key.read_bytes()

    def ask() -> Any:
        return ask_for_new_key(
            federation.policy, project="default", supernode=node, out=out, lost=None
        )

    def then() -> None:
        assert key.read_bytes() == held
        joining = ask()
        assert SigningKey.load(joining.key).public == joining.request.asked.key
        assert decode_request(out.read_bytes(), origin="x") == joining.request

    assert Disk(place).each(ask, then=then) > 8


def test_a_gateway_that_dies_as_it_tells_tells_again_and_leaves_nothing_half(place: Path) -> None:
    """A notice may come twice, never not at all; a reader of the folder sees whole ones alone."""
    folder, told, time = place / "notices", place / "told.json", [1_000_000.0]
    folder.mkdir()
    plans = [
        {"id": letter, "digest": f"sha256:{letter * 64}", "coordinator": "hub", "at": "t"}
        for letter in "ab"
    ]

    def bell() -> Bell:
        return Bell(
            silo="north",
            ways=senders(NotifySection.model_validate({"directory": str(folder)})),
            waiting=lambda: plans,
            told=told,
            telemetry=Telemetry(role=Role.GATEWAY),
            now=lambda: time[0],
        )

    def heard() -> list[Any]:
        return [json.loads(p.read_bytes()) for p in folder.glob("notice-*.json")]

    def then() -> None:
        before = len(heard())
        again = bell()
        again.look()
        assert before <= len(heard()) <= before + 1
        assert {p["plan"] for n in heard() for p in n["plans"]} == {"a", "b"}
        bell().look()
        assert len(heard()) <= 2, "who was told is not told again"
        assert {p.name for p in folder.iterdir()} == {p.name for p in folder.glob("notice-*.json")}
        time[0] += AGAIN_SECONDS + 1
        bell().look()
        assert heard()[-1]["plans"]
        time[0] -= AGAIN_SECONDS + 1

    assert Disk(place).each(lambda: bell().look(), then=then) > 8
