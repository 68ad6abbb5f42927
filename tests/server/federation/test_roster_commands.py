"""Joining as its two persons do it: request, words, kit, policy; the chain of rosters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from silosynth.client.policy import load_policy
from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidArgument, OutputExists, SilosynthError
from silosynth.common.roster import (
    MOST_REQUEST_BYTES,
    decode_request,
    encode_request,
    key_words,
    make_change,
    open_kit,
    same_words,
)
from silosynth.common.schema import dump_schema
from silosynth.common.trust import SigningKey
from silosynth.server.federation import (
    Federation,
    add_change,
    add_federation,
    chain_path,
    load_roster,
    make_certs,
    read_chain,
)
from silosynth.server.federation.certs import Certs
from silosynth.server.federation.roster.chain import former_keys
from tests.support.gateways.joining import asks
from tests.support.gateways.signed import people, people_table

Say = Callable[..., dict[str, Any]]
FED = ("--federation", "hub", "--no-send")


@pytest.fixture
def certs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certs:
    """Make a federation of two silos that no SuperLink serves."""
    made = make_certs(tmp_path / "certs", silos=("north", "south"), hosts=("localhost",))
    home = tmp_path / "home"
    monkeypatch.setenv("SILOSYNTH_HOME", str(home))
    federation = Federation(
        superlink="localhost:9092",
        ca=made.ca,
        identity=made.identity,
        superexec_secret=made.secret,
    )
    add_federation(home, "hub", federation)
    (tmp_path / "schema.yaml").write_text(dump_schema(people()))
    pq.write_table(people_table(), tmp_path / "people.parquet")
    return made


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command with --json; return its data, or its error under 'error'."""

    def ask(*words: str | Path) -> dict[str, Any]:
        run([*map(str, words), "--json"])
        envelope: dict[str, Any] = json.loads(capsys.readouterr().out)
        return dict(envelope.get("data") or {"error": envelope["error"]})

    return ask


def _added(say: Say, certs: Certs, tmp_path: Path, *more: str | Path) -> dict[str, Any]:
    """Let east ask, and the coordinator answer."""
    asked = say("silo", "join", tmp_path / "east", "--name", "east")
    words = ("--words", asked["words"], "--out", tmp_path / "east.kit", "--roster", certs.roster)
    schema = ("--schema", tmp_path / "schema.yaml")
    added = say("roster", "add", asked["path"], *FED, *words, *schema, *more)
    return {**asked, "added": added}


def test_two_files_make_a_silo_whose_policy_pins_everybody(
    say: Say, certs: Certs, tmp_path: Path
) -> None:
    joined = _added(say, certs, tmp_path)
    kit = ("--kit", tmp_path / "east.kit", "--table", tmp_path / "people.parquet")
    words = ("--words", joined["added"]["words"])
    made = say("silo", "take-kit", tmp_path / "east", *kit, *words, "--person-column", "who")
    policy = load_policy(Path(made["policy"]))
    old, (project,) = load_roster(certs.roster), policy.projects
    assert project.roster == {**old.silos, "east": joined["public_key"]}
    assert project.roster_version == 1
    assert [(c.name, c.key) for c in policy.coordinators] == [("hub", old.coordinator)]
    assert (tmp_path / "east/relay/ca.pem").read_bytes() == certs.ca.read_bytes()
    assert (tmp_path / "east/relay/relay.env").read_text() == (
        "SUPERLINK=localhost:9092\nSILO=east\n"
    )
    assert say("silo", "check", "--policy", made["policy"])["words"]
    for secret in ("keys/silo.pem", "relay/supernode.pem", "keys/persons.secret"):
        assert (tmp_path / "east" / secret).stat().st_mode & 0o777 == 0o600, secret
    assert load_roster(Path(joined["added"]["roster"])).silos == project.roster


def test_what_is_sent_holds_no_secret(say: Say, certs: Certs, tmp_path: Path) -> None:
    _added(say, certs, tmp_path)
    sent = (tmp_path / "east/east.join").read_bytes() + (tmp_path / "east.kit").read_bytes()
    keys = [*tmp_path.rglob("*.pem"), *tmp_path.rglob("*.secret")]
    lines = {
        line
        for path in keys
        if path != certs.ca and "PRIVATE" in path.read_text(errors="replace")
        for line in path.read_bytes().splitlines()
        if not line.startswith(b"-----")
    }
    assert len(lines) > 10
    assert not [line for line in lines if line in sent]


def test_asking_again_asks_the_same(say: Say, certs: Certs, tmp_path: Path) -> None:
    first = _added(say, certs, tmp_path)
    again = say("silo", "join", tmp_path / "east", "--name", "east")
    assert again == {k: v for k, v in first.items() if k != "added"}
    words = ("--out", tmp_path / "again.kit")
    added = say("roster", "add", again["path"], *FED, *words, "--schema", tmp_path / "schema.yaml")
    assert added["version"] == 1, "the same request changes nothing more"
    assert (tmp_path / "again.kit").read_bytes() == (tmp_path / "east.kit").read_bytes()


@pytest.mark.parametrize("words", ["", "lukif-pajas-sigav-zufom", "lukif"])
def test_with_other_words_nothing_is_signed(
    say: Say, certs: Certs, tmp_path: Path, words: str
) -> None:
    asked = say("silo", "join", tmp_path / "east", "--name", "east")
    out = ("--out", tmp_path / "east.kit", "--roster", certs.roster)
    told = say("roster", "add", asked["path"], *FED, *out, "--words", words)
    assert "not the words" in told["error"]["message"]
    assert not (tmp_path / "east.kit").exists()
    assert say("roster", "show", "--federation", "hub")["version"] == 0


def test_a_kit_of_another_coordinator_has_other_words(
    say: Say, certs: Certs, tmp_path: Path
) -> None:
    joined = _added(say, certs, tmp_path)
    kit = ("--kit", tmp_path / "east.kit", "--table", tmp_path / "people.parquet")
    for wrong in ("lukif-pajas-sigav-zufom", joined["words"]):
        told = say("silo", "take-kit", tmp_path / "east", *kit, "--words", wrong)
        assert "not the words" in told["error"]["message"]
    say("silo", "join", tmp_path / "other", "--name", "other")
    told = say("silo", "take-kit", tmp_path / "other", *kit, "--yes")
    assert "does not have the key" in told["error"]["message"]
    assert not (tmp_path / "east/silo.toml").exists()


def test_a_kit_is_whole_or_refused(say: Say, certs: Certs, tmp_path: Path) -> None:
    _added(say, certs, tmp_path)
    data = (tmp_path / "east.kit").read_bytes()
    assert open_kit(data)[1].roster == 1
    for place in range(0, len(data), 97):
        bad = bytearray(data)
        bad[place] ^= 1
        with pytest.raises(SilosynthError):
            open_kit(bytes(bad))
    for cut in (0, 10, 400, len(data) - 1):
        with pytest.raises(SilosynthError):
            open_kit(data[:cut])


def test_a_silo_gets_another_key_and_its_receipts_of_before_are_still_presented(
    say: Say, certs: Certs, tmp_path: Path
) -> None:
    joined = _added(say, certs, tmp_path)
    kit = ("--kit", tmp_path / "east.kit", "--table", tmp_path / "people.parquet", "--yes")
    made = say("silo", "take-kit", tmp_path / "east", *kit)
    node = ("--supernode", tmp_path / "east/relay/supernode.pub", "--policy", made["policy"])
    asked = say("silo", "new-key", tmp_path / "new.join", *node)
    assert decode_request((tmp_path / "new.join").read_bytes()).by_previous is not None
    done = say("roster", "replace", asked["path"], *FED, "--words", asked["words"])
    assert done["version"] == 2
    hub = load_roster(certs.roster).coordinator
    before = former_keys(
        tmp_path / "home", federation="hub", project="default", silo="east", coordinator=hub
    )
    assert list(before) == [joined["public_key"]]
    lost = say("silo", "new-key", tmp_path / "lost.join", *node, "--lost", asked["public_key"])
    assert decode_request((tmp_path / "lost.join").read_bytes()).by_previous is None
    done = say("roster", "replace", lost["path"], *FED, "--words", lost["words"])
    assert done["version"] == 3, done


def test_a_silo_that_has_a_key_is_not_added_and_one_that_is_not_there_not_removed(
    say: Say, certs: Certs, tmp_path: Path
) -> None:
    _added(say, certs, tmp_path)
    asked = say("silo", "join", tmp_path / "false", "--name", "north")
    told = say("roster", "add", asked["path"], *FED, "--out", tmp_path / "n.kit")
    assert "another key" in told["error"]["message"]
    assert "not in the roster" in say("roster", "remove", "nobody", *FED)["error"]["message"]
    assert say("roster", "remove", "east", *FED)["version"] == 2
    assert say("roster", "remove", "east", *FED)["version"] == 2, "once is enough"


def test_one_change_of_a_version_is_ever_signed(say: Say, certs: Certs, tmp_path: Path) -> None:
    _added(say, certs, tmp_path)
    key = SigningKey.load(certs.identity)
    path = chain_path(tmp_path / "home", federation="hub", project="default")
    chain = read_chain(path, coordinator=key.public)
    fewer = {s: k for s, k in chain.now.silos.items() if s != "south"}
    add_change(chain, make_change(chain.now, fewer), key=key)
    west = make_change(
        chain.now,
        {**chain.now.silos, "west": (west_key := SigningKey.generate()).public},
        requests=[asks("west", west_key)],
    )
    with pytest.raises(OutputExists, match="version 2"):
        add_change(chain, west, key=key)
    told = say(
        "roster",
        "add",
        tmp_path / "east/east.join",
        *FED,
        "--roster",
        certs.roster,
        "--out",
        tmp_path / "x.kit",
    )
    assert "already" in told["error"]["message"], "a chain begins once"


@pytest.mark.parametrize("damage", ["start.json", "000001.change", "gap"])
def test_a_damaged_chain_is_named(say: Say, certs: Certs, tmp_path: Path, damage: str) -> None:
    _added(say, certs, tmp_path)
    say("roster", "remove", "east", *FED)
    path = chain_path(tmp_path / "home", federation="hub", project="default")
    if damage == "gap":
        (path / "000001.change").unlink()
    else:
        file = path / damage
        file.write_bytes(file.read_bytes().replace(b"default", b"another"))
    with pytest.raises(InvalidArgument, match=r"damaged|do not follow"):
        read_chain(path, coordinator=SigningKey.load(certs.identity).public)


def test_who_came_in_later_lacks_nothing_of_before(say: Say, certs: Certs, tmp_path: Path) -> None:
    _added(say, certs, tmp_path)
    say("roster", "remove", "south", *FED)
    path = chain_path(tmp_path / "home", federation="hub", project="default")
    chain = read_chain(path, coordinator=SigningKey.load(certs.identity).public)
    lacking = {s: [c.change.roster for c in chain.missing(s)] for s in chain.now.silos}
    assert lacking == {"north": [1, 2], "east": [2]}
    chain.note(chain.changes[0], "north", b"said")
    assert [c.change.roster for c in chain.missing("north")] == [2]
    assert chain.vouchers(chain.changes[0]) == (b"said",)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff", b"x" * (MOST_REQUEST_BYTES + 1), b"null"]
)
def test_what_is_no_request_is_named(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="no request to join"):
        decode_request(data)


def test_words_are_of_name_and_key_and_are_read_as_people_say_them() -> None:
    key, other = SigningKey.generate().public, SigningKey.generate().public
    words = key_words("east", key)
    assert words == key_words("east", key)
    assert len({words, key_words("west", key), key_words("east", other)}) == 3
    assert same_words(words.upper().replace("-", ", "), words)
    assert not same_words(words[:-1], words)
    request = asks("east", SigningKey.generate())
    assert decode_request(encode_request(request)) == request
