"""A gateway whose table is read by a map: what leaves, what is refused, and who is told what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.client.desk import Desk, plan_facts, plan_words
from silosynth.client.desk.plan_in_words import lack_facts
from silosynth.client.gateway import Asked, ask_rows
from silosynth.client.maps.silo_map import parse_map
from silosynth.client.policy import policy_words
from silosynth.client.silo import check_files, read_tables
from silosynth.client.source import open_table
from silosynth.common.errors import InvalidMap
from silosynth.common.messages import Answer, Refusal, Release, Request, encode_receipt
from silosynth.common.plan import PhaseName, parse_plan
from silosynth.common.plan.lacks import unheld_pairs
from silosynth.server.planning import new_plan
from tests.support.chance import FixedBits
from tests.support.gateways.signed import Federation, people, people_table
from tests.support.patience import cheap
from tests.support.tables.canary import CANARY

WORDS = f"{{{CANARY}-f: f, {CANARY}-m: m}}"
MAP = f"""\
version: 1
columns:
  sex: {{from: {CANARY}-sex, map: {WORDS}}}
  age: {{from: months, scale: 0.5}}
"""


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(directory=tmp_path)


def local(table: pa.Table) -> pa.Table:
    """Return the rows as the silo writes them."""
    sexes = [f"{CANARY}-{s}" if s in ("f", "m") else s for s in table["sex"].to_pylist()]
    return pa.table(
        {
            f"{CANARY}-sex": sexes,
            "months": [2 * a for a in table["age"].to_pylist()],
            "who": table["who"],
        }
    )


def use_map(federation: Federation, text: str = MAP) -> None:
    """Write the silo's own table and its map, and name the map in the policy."""
    pq.write_table(local(people_table()), federation.directory / "people.parquet")
    path = federation.directory / "map.yaml"
    path.write_text(text)
    data = federation.policy.model_dump(mode="json", by_alias=True)
    data["datasets"][0]["map"] = str(path)
    federation.policy = type(federation.policy).model_validate(data)


def released(federation: Federation) -> Release:
    """Return what the silo answers, with noise that repeats."""
    with federation.open(bits=FixedBits(7)) as silo:
        return federation.release(silo, federation.plan())


def test_a_mapped_table_is_counted_as_one_that_needs_no_map(tmp_path: Path) -> None:
    releases = []
    for name in ("plain", "mapped"):
        (tmp_path / name).mkdir()
        federation = Federation(directory=tmp_path / name)
        if name == "mapped":
            use_map(federation)
        federation.fix_persons()
        releases.append(released(federation))
    for plain, mapped in zip(*(r.marginals for r in releases), strict=True):
        assert np.array_equal(plain, mapped)


def test_nothing_of_a_map_leaves_but_its_name_under_the_silos_own_key(
    federation: Federation,
) -> None:
    use_map(federation)
    plan = federation.plan()
    with federation.open() as silo:
        proposed = silo.gateway.propose(plan=federation.sealed(plan))
        answer = silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
    release = federation.read(answer)
    assert isinstance(release, Release)
    for left in (proposed, answer, encode_receipt(release)):
        assert CANARY.encode() not in left
        assert b"months" not in left
    first = release.receipt.map_digest
    assert first is not None
    other = federation.directory / "other"
    other.mkdir()
    again = Federation(directory=other)
    use_map(again)
    assert released(again).receipt.map_digest != first, "another silo's key names it otherwise"


def test_without_a_map_a_receipt_is_what_it_was(federation: Federation) -> None:
    assert "map_digest" not in released(federation).receipt.model_dump(mode="json")


LACKING = "version: 1\ncolumns:\n  sex: absent\n  age: {from: months}\n"


def test_a_column_that_a_silo_lacks_is_never_counted(federation: Federation) -> None:
    use_map(federation, LACKING)
    plan = federation.plan(lacks={"north": ["sex"]})
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        answer = federation.read(
            silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
        )
        assert not silo.ledger.releases()
        asked = federation.request(plan, queries=((("age",), "fine"),))
        held = federation.read(silo.gateway.answer(plan=federation.sealed(plan), request=asked))
    assert isinstance(answer, Refusal)
    assert "this silo holds no column 'sex'" in answer.message
    assert isinstance(held, Release)


@pytest.mark.parametrize(
    ("text", "lacks", "said"),
    [
        (LACKING, {}, "this silo holds no column 'sex', and plan p counts on it"),
        (MAP, {"north": ["sex"]}, "says that this silo lacks 'sex', which it holds"),
        (LACKING, {"south": ["sex"]}, "this silo holds no column 'sex'"),
    ],
)
def test_a_plan_that_says_otherwise_of_the_columns_is_refused_by_what_is_public(
    federation: Federation, text: str, lacks: dict[str, list[str]], said: str
) -> None:
    """The same answer whatever the rows hold: none is read."""
    use_map(federation, text)
    (federation.directory / "people.parquet").unlink()
    plan = federation.plan(**({"lacks": lacks} if lacks else {}))
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
    assert verdict.answer is Answer.REFUSED
    assert said in (verdict.message or "")


@pytest.mark.parametrize("silo", ["north", "south"])
def test_no_silo_lacks_what_is_no_column(federation: Federation, silo: str) -> None:
    """What a plan says of other silos' columns cannot be checked here, and is worked with."""
    federation.approve_none()
    names = [f"x{number}" for number in range(3000)]
    for lacks in ({silo: names}, {silo: ["sex", "who"]}):
        plan = federation.plan(lacks=lacks)
        with federation.open() as opened:
            verdict = federation.verdict(opened.gateway.propose(plan=federation.sealed(plan)))
            assert opened.ledger.pending() == ()
        assert (verdict.answer, verdict.code) == (Answer.REFUSED, "invalid-plan")
        assert f"silo {silo!r} lacks {lacks[silo][-1 if len(lacks[silo]) == 2 else 0]!r}" in (
            verdict.message or ""
        )


@pytest.mark.parametrize(
    ("lacks", "alone"),
    [
        ({"south": ["sex"], "west": ["sex"]}, "You alone hold sex. A sum"),
        ({"south": ["sex"], "west": ["age"]}, "You alone hold age with sex. A sum"),
        ({"south": ["sex"], "west": ["sex", "age"]}, "You alone hold sex. A sum"),
        ({"south": ["sex"]}, None),
        ({"north": ["sex"], "south": ["sex"]}, None),
        ({"north": ["age"], "south": ["sex"], "west": ["age"]}, None),
    ],
)
def test_a_silo_is_told_what_others_lack_and_which_sums_are_its_own(
    lacks: dict[str, list[str]], alone: str | None
) -> None:
    silos = ("north", "south", "west")
    for trust in ("own", "shared"):
        made = new_plan(
            people(), epsilon=1.0, delta=1e-6, silos=silos, method="independent", trust=trust
        )
        plan = parse_plan(made.model_dump(mode="json") | {"lacks": lacks})
        facts = {**plan_facts(plan), "digest": "sha256:0", "coordinator": "hub"}
        assert "holds no column" not in " ".join(plan_words(facts))
        said = " ".join(plan_words(facts | lack_facts(plan, silo="north")))
        for silo, columns in lacks.items():
            assert f"Silo {silo} holds no column {', '.join(columns)}" in said
        assert ("You alone" in said) == (trust == "shared" and alone is not None)
        assert trust == "own" or alone is None or alone in said


def test_the_desk_tells_what_silos_lack(federation: Federation) -> None:
    use_map(federation, LACKING)
    federation.approve_none()
    plan = federation.plan(lacks={"north": ["sex"]})
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        desk = Desk(policy=federation.policy, key=silo.key, ledger=silo.ledger)
        (facts,) = desk.pending()
    assert "Silo north holds no column sex: it counts nothing of them." in plan_words(facts)


def test_pairs_are_found_among_the_columns_that_somebody_lacks(federation: Federation) -> None:
    """As many silos and columns as a plan may have take no time to speak of."""
    silos = tuple(f"s{number}" for number in range(1000))
    columns = [f"c{number:03}" for number in range(256)]
    lacks = {silo: columns[number % 2 :: 2] for number, silo in enumerate(silos)}
    facts = federation.plan().model_dump(mode="json") | {"silos": silos, "roster": {}}
    plan = parse_plan(facts | {"lacks": lacks})
    with cheap(units=200):
        pairs = unheld_pairs(plan)
    assert len(pairs) == 128 * 128
    assert all(not plan.holders(pair, silos=silos) for pair in pairs[:: len(pairs) // 10])


def test_in_a_sum_a_silo_counts_nothing_of_what_it_lacks() -> None:
    """Rows without the column would otherwise all lie in the cell of missing, or in the first."""
    schema = people()
    silo_map = parse_map({"version": 1, "columns": {"sex": "absent"}})
    rows = open_table(people_table().select(["age"]), schema=schema, silo_map=silo_map)
    made = new_plan(schema, epsilon=1.0, delta=1e-6, silos=("north", "south"), method="independent")
    request = Request.model_validate(
        {
            "plan_digest": made.digest,
            "phase": PhaseName.ONE_WAY,
            "silo": "north",
            "queries": ((("sex",), "fine"), (("age",), "fine"), (("age", "sex"), "fine")),
        }
    )
    asked = Asked(
        rows=rows,
        schema=schema,
        plan=made,
        request=request,
        rows_per_person=1,
        plan_digest=made.digest,
        cells=(2, 10, 20),
        lacks=silo_map.absent,
    )
    sex, age, both = ask_rows(asked)
    assert not sex.any()
    assert not both.any()
    assert age.sum() == people_table().num_rows


def test_an_unreviewed_map_is_not_served(federation: Federation) -> None:
    use_map(federation, MAP.replace("scale: 0.5", "scale: 0.5, unreviewed: true"))
    with pytest.raises(InvalidMap, match="1 columns are unreviewed, 'age' first"):
        check_files(federation.policy)
    use_map(federation, MAP.replace("version: 1", "version: 1\nunreviewed: true"))
    with pytest.raises(InvalidMap, match="2 columns are unreviewed"), federation.open():
        pass


def test_the_operator_alone_is_shown_what_a_map_does_to_counts(federation: Federation) -> None:
    use_map(federation)
    (lines,) = read_tables(federation.policy).values()
    told = "\n".join(lines)
    assert f"map: sex, from '{CANARY}-sex': " in told
    assert f"'{CANARY}-f' becomes 'f' in 60 rows" in told
    assert "map: age, from 'months': 0 to 18 becomes 0 to 9" in told
    assert "sex: 30 of 150 values not listed: 80.0% of it fits" in told
    assert any("map.yaml" in sentence for sentence in policy_words(federation.policy))


def test_hardly_anything_that_fits_is_told_before_a_plan(federation: Federation) -> None:
    use_map(federation, MAP.replace(f"{CANARY}-f", "f").replace(f"{CANARY}-m: m", "m: m"))
    (lines,) = read_tables(federation.policy).values()
    assert "sex: hardly anything of it fits the schema" in lines
