"""A scenario that cannot be is refused in one line; chance and skew depend on the seed alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from silosynth.common.cli.app import run
from silosynth.common.cli.console import people
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.plan import dump_plan
from silosynth.common.schema import dump_schema
from silosynth.simulations.scenario.letters import Lines
from silosynth.simulations.scenario.timeline import Timeline
from silosynth.simulations.world import (
    SECOND,
    Scenario,
    described,
    idle,
    load_scenario,
    match_plan,
    parse_scenario,
    spell_span,
)
from silosynth.simulations.world.chance import share
from silosynth.simulations.world.place import make_places
from silosynth.simulations.world.scenario import scenario_json_schema
from silosynth.simulations.world.skewed import Skew, skew_tables
from silosynth.simulations.world.units import MOST_SPAN
from tests.support.tables.worlds import CALM, plan, schema, tables

GALLERY = Path(__file__).parents[3] / "deploy" / "examples" / "scenarios"


def _bad(**changes: Any) -> dict[str, Any]:
    return CALM | changes


def _fault(**fault: Any) -> dict[str, Any]:
    return _bad(faults=[{"kind": "outage"} | fault])


def _rules(**rules: Any) -> dict[str, Any]:
    return _bad(regions={"eu": {"silos": ["a", "b"], "rules": rules}})


def _both(eu: dict[str, Any], us: dict[str, Any]) -> dict[str, Any]:
    there = {"silos": ["west", "east"], "rules": us}
    return _bad(regions={"eu": {"silos": ["north", "south"], "rules": eu}, "us": there})


def _one(rules: dict[str, Any]) -> dict[str, Any]:
    return _bad(regions={"eu": {"silos": ["north"], "rules": rules}})


def _many(count: int, rules: dict[str, Any] | None = None) -> dict[str, Any]:
    many = {"silos": {"prefix": "s", "count": count}, "rules": rules or {}}
    return _bad(regions={"eu": many, "us": {"silos": ["x"]}})


def _line(*ends: str, here: str | None = "eu", **more: Any) -> dict[str, Any]:
    pairs = [list(ends[i : i + 2]) for i in range(0, len(ends), 2)]
    between: dict[str, Any] = {"between": [{"regions": pair} | more for pair in pairs]}
    return _bad(**between | ({} if here is None else {"coordinator": {"region": here}}))


BAD = [
    (_bad(version=2), "version 2 is not known"),
    (_bad(silos={"nobody": {}}), "'nobody' stands in no region"),
    (_fault(silos=["nobody"]), "'nobody' is no silo or region"),
    (_fault(regions=["mars"]), "'mars' is no silo or region"),
    (_fault(**{"from": "2h", "until": "1h"}), "times run backwards"),
    (_fault(**{"from": "-1h"}), "write a time"),
    (_fault(**{"from": -1}), "below 0"),
    (_fault(**{"from": "soon"}), "write a time"),
    (_fault(**{"from": "99999w"}), "more than ten years"),
    (_fault(**{"from": True}), "write a time"),
    (_fault(kind="earthquake"), "earthquake"),
    (_fault(kind="loss", probability=1.5), "less than or equal to 1"),
    (_fault(kind="loss", probability=-0.1), "greater than or equal to 0"),
    (_fault(kind="crash", at="count", step="lunch"), "step: at count it is one of"),
    (_fault(kind="stall", at="lunch", lasts="1s"), "at"),
    (_many(10_001), "10000"),
    (_many(10_000), "10001 silos are more than 10000"),
    (_bad(regions={}), "regions"),
    (_bad(regions={"eu": {"silos": ["a", "a"]}}), "twice"),
    (_bad(regions={"eu": {"silos": ["a"]}, "us": {"silos": ["a"]}}), "two regions"),
    (_rules(min_silos_in_sum=3), "no plan can keep"),
    (_rules(only_sums=True, trust=["own"]), "no plan can keep"),
    (_rules(datasets=["x"], datasets_apart=["x"]), "no plan can keep"),
    (_rules(max_epsilon=0), "max_epsilon"),
    (_rules(methods=[]), "methods"),
    (_rules(not_with=["eu"]), "not_with"),
    (_both({"methods": ["mst"]}, {"methods": ["aim"]}), "eu permits mst alone; us permits aim"),
    (_both({"trust": ["own"]}, {"trust": ["shared"]}), "trust: eu permits own alone; us permits"),
    (_both({"only_sums": True}, {"trust": ["own"]}), "eu, us: rules: no plan can keep"),
    (_both({"trust": ["own"]}, {"min_silos_in_sum": 2}), "us, eu: rules: no plan can keep"),
    (_both({"datasets": ["x"]}, {"datasets": ["y"]}), "datasets: eu permits x alone; us permits y"),
    (_both({"datasets": ["x"]}, {"datasets_apart": ["x"]}), "every data set is kept apart: x"),
    (_one({"trust": ["shared"]}), "shared trust is of 2 to 1000 silos, and there are 1"),
    (_many(1000, {"only_sums": True}), "shared trust is of 2 to 1000 silos, and there are 1001"),
    (
        _bad(skew=[{"kind": "sizes", "alpha": 1, "silos": ["north", "north"]}]),
        "'north' stands twic",
    ),
    (_fault(silos=["north", "north"]), "faults: 0: silos: 'north' stands twice"),
    (_fault(regions=["eu", "eu"]), "faults: 0: regions: 'eu' stands twice"),
    (_fault(kind="stall", at="propose", phase="tree", lasts="1s"), "only count and send is of a"),
    (_fault(kind="crash", at="set", phase="tree"), "only count and send is of a phase"),
    (_fault(at="deliver", phase="tree", lasts="1s"), "only count and send is of a phase"),
    (_fault(kind="coordinator", at="set", phase="tree"), "only count is of a phase"),
    (_bad(starts="2026-03-02T08:00:00"), "time zone"),
    (_bad(starts="9999-12-31T23:00:00Z"), "a year from 1970 to 2200"),
    (_bad(starts="0001-01-01T00:00:00Z"), "a year from 1970 to 2200"),
    (_fault(at="count"), "'at' and 'lasts' go together"),
    (_fault(lasts="1m"), "'at' and 'lasts' go together"),
    (_fault(phase="tree"), "'phase' and 'times' need 'at'"),
    (_fault(kind="partition", times=2), "'phase' and 'times' need 'at'"),
    (_fault(kind="coordinator", until="1h"), "leave 'until' out"),
    (_fault(kind="coordinator", answers=2), "'phase' and 'answers' need 'at'"),
    (_fault(kind="coordinator", at="send"), "a coordinator dies at"),
    (_fault(kind="coordinator", silos=["north"]), "silos"),
    (_line("eu", "us", here=None), "say where the coordinator is"),
    (_line("eu", "us", here="asia"), "no message takes it"),
    (_line("eu", "eu"), "no message takes it"),
    (_line("eu", "mars"), "'mars' is no region"),
    (_line("eu", "us", "us", "eu"), "stands twice"),
    (_line("eu"), "regions"),
    (_line("eu", "us", bandwidth_mbit=-1), "bandwidth_mbit"),
    (_bad(skew=[{"kind": "shift", "column": "age", "by": 1e300}]), "by"),
    (_bad(skew=[{"kind": "shift", "column": "age", "by": float("nan")}]), "by"),
    (_bad(regions={"eu": {"silos": ["a"], "link": {"loss": 2}}}), "loss"),
    (_bad(regions={"eu": {"silos": ["a"], "link": {"bandwidth_mbit": 0}}}), "bandwidth_mbit"),
    (
        _bad(regions={"eu": {"silos": ["a"], "approval": {"hours": "09:00-09:00"}}}),
        "hours end when",
    ),
    (_bad(regions={"eu": {"silos": ["a"], "approval": {"hours": "09:00-24:30"}}}), "over midnight"),
    (_bad(regions={"eu": {"silos": ["a"], "churn": {"up": "1s", "down": "1s"}}}), "a minute"),
    (_bad(skew=[{"kind": "dirichlet", "column": "town", "alpha": 0}]), "alpha"),
    (_bad(unknown=1), "unknown"),
    ([], "origin: is no mapping of fields"),
    ("calm", "origin: is no mapping of fields"),
    (None, "origin: is empty"),
    (_bad(regions={"eu": {"silos": {"prefix": "s", "count": 9}}, "us": {"silos": ["s4"]}}), "'s4'"),
    (_bad(regions={"eu": {"silos": {"prefix": "../s", "count": 2}}}), "prefix"),
    (_bad(regions={"eu": {"silos": {"prefix": "s", "count": 0}}}), "count"),
    (_bad(regions={"eu": {"silos": ["a"], "link": {"loss": float("nan")}}}), "finite"),
    (_bad(regions={"eu": {"silos": ["a"], "link": {"bandwidth_mbit": float("inf")}}}), "finite"),
    (_bad(regions={"eu": {"silos": ["a"], "approval": {"by": "person", "takes": "-1h"}}}), "takes"),
    (_fault(kind="crash", at="count", times=0), "times"),
    (_fault(at="count", lasts="1m", phase="lunch"), "phase"),
    (_bad(seed=2**80), "seed"),
]


@pytest.mark.parametrize(("data", "words"), BAD)
def test_a_scenario_that_cannot_be_is_refused_in_one_line(data: Any, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words.replace("(", r"\(")) as refused:
        parse_scenario(data, origin="origin")
    assert "\n" not in str(refused.value)


def test_a_plan_and_a_scenario_speak_of_the_same_silos() -> None:
    fewer = parse_scenario({"name": "x", "regions": {"eu": {"silos": ["north"]}}}, origin="x")
    with pytest.raises(InvalidArgument, match="'south' of plan p stands in no region"):
        match_plan(fewer, plan())
    more = _bad(regions={"eu": {"silos": ["north", "south", "west", "east", "mars"]}})
    with pytest.raises(InvalidArgument, match="'mars', which is not in plan p"):
        match_plan(parse_scenario(more, origin="x"), plan())


def test_the_json_schema_knows_every_field() -> None:
    described = json.loads(scenario_json_schema())
    assert set(described["properties"]) == set(Scenario.model_fields)


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_scenario_that_is_written_and_read_again_is_the_same(path: Path) -> None:
    world = load_scenario(path)
    written = world.model_dump(mode="json", by_alias=True)
    assert parse_scenario(written, origin="x") == world


def test_spans_are_spelt_for_people() -> None:
    assert [spell_span(n * SECOND) for n in (0.25, 61, 3600, 93_784)] == [  # type: ignore[arg-type]  # as loose as a test may be
        "0.25 s",
        "1 min 1 s",
        "1 h",
        "1 d 2 h",
    ]


def test_a_thin_line_makes_messages_queue_and_a_link_of_no_width_only_late() -> None:
    world = parse_scenario(_line("eu", "us", here="us", bandwidth_mbit=1, delay="1s"), origin="x")
    places, queued = make_places(world, ["north", "south", "west"]), Counter[str]()
    lines = Lines(queued=queued)
    north, south, west = (
        lines.arrives(place, now=0, message=1, size=10**6, inbound=False)
        for place in places.values()
    )
    own = places["north"].travel(message=1, size=10**6)
    assert north == 8 * SECOND + SECOND + own
    assert 16 * SECOND + SECOND < south < 17 * SECOND + SECOND
    assert west < SECOND
    assert queued == {"eu": 8 * SECOND}
    thin = _bad(regions={"eu": {"silos": ["a"], "link": {"bandwidth_mbit": 1e-300}}})
    (place,) = make_places(parse_scenario(thin, origin="x"), ["a"]).values()
    assert 0 < place.travel(message=1, size=10**9) < 2 * MOST_SPAN


def test_ups_and_downs_are_found_as_one_would_by_looking_at_all() -> None:
    rough = {"eu": {"silos": ["a"], "churn": {"up": "1m", "down": "40s"}}}
    fault = {"kind": "outage", "from": "9m", "until": "13m"}
    world = parse_scenario(_bad(regions=rough, faults=[fault]), origin="x")
    (place,) = make_places(world, ["a"]).values()
    for now in range(0, 3600 * SECOND, 7 * SECOND):
        known = list(place.stretches(now + 60 * SECOND))
        away = [s for s in known if s.holds(now)]
        assert (place.away(now) is None) == (not away)
        assert place.is_down(now) == bool(away)
        downs = [s.begin for s in known if now < s.begin <= now + 60 * SECOND]
        assert place.goes_down(now, now + 60 * SECOND) == min(downs, default=None)


def test_a_draw_depends_on_its_name_alone() -> None:
    first = [share(1, "north", i) for i in range(100)]
    assert first == [share(1, "north", i) for i in range(100)]
    assert len(set(first) | {share(2, "north", i) for i in range(100)}) == 200
    assert share(1, "north", 0) == pytest.approx(first[0], abs=0)


def test_a_person_decides_in_the_hours_of_work() -> None:
    world = load_scenario(GALLERY / "weekend.yaml")
    for silo, place in make_places(world, ["north", "west", "east"]).items():
        decides = place.time(place.decides(0)).timestamp() + place.approval.utc_offset / SECOND
        day, hour = int(decides // 86_400 + 3) % 7, decides % 86_400 / 3600
        names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
        begin, end = place.approval.hours.split("-")
        assert names[day] in place.approval.days, silo
        assert int(begin[:2]) <= hour < int(end[:2]), silo


@pytest.mark.parametrize(
    ("starts", "hours", "days", "decides"),
    [
        ("2026-03-02T23:30:00Z", "22:00-06:00", ["mon"], "2026-03-02T23:30:00Z"),
        ("2026-03-03T05:59:00Z", "22:00-06:00", ["mon"], "2026-03-03T05:59:00Z"),
        ("2026-03-03T06:00:00Z", "22:00-06:00", ["mon"], "2026-03-09T22:00:00Z"),
        ("2026-03-02T12:00:00Z", "22:00-06:00", ["mon"], "2026-03-02T22:00:00Z"),
        ("2026-03-02T05:00:00Z", "22:00-06:00", ["mon"], "2026-03-02T22:00:00Z"),
        ("2026-03-08T23:00:00Z", "00:00-24:00", ["mon"], "2026-03-09T00:00:00Z"),
        ("2026-03-06T17:00:00Z", "09:00-17:00", ["mon", "fri"], "2026-03-09T09:00:00Z"),
    ],
)
def test_hours_may_go_over_midnight(starts: str, hours: str, days: list[str], decides: str) -> None:
    person = {"by": "person", "hours": hours, "days": days, "takes": "1us"}
    regions = {"eu": {"silos": ["a"], "approval": person}}
    world = parse_scenario(_bad(starts=starts, regions=regions), origin="x")
    (place,) = make_places(world, ["a"]).values()
    late = place.time(place.decides(0)) - datetime.fromisoformat(decides)
    assert timedelta(0) <= late < timedelta(seconds=1)


def _kinds(described: Any, title: str) -> list[str]:
    """Return the patterns of one field, wherever it stands."""
    found = json.dumps(described.get("properties", {}).get(title, {}))
    return re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', found)


@pytest.mark.parametrize(
    ("model", "name", "good", "wrong"),
    [
        ("Link", "delay", ["250ms", "1.5 h", "0s"], ["soon", "-1s", "5", "5 years"]),
        ("Clock", "offset", ["-1m", "5s"], ["--5s", "1x"]),
        ("Approval", "hours", ["09:00-17:00", "22:00-06:00"], ["9-17", "25:00-26:00"]),
        (None, "starts", ["2026-03-02T08:00:00Z", "2026-03-02 08:00+01:00"], ["2026-03-02", "now"]),
    ],
)
def test_an_editor_is_told_how_times_are_written(
    model: str | None, name: str, good: list[str], wrong: list[str]
) -> None:
    described = json.loads(scenario_json_schema())
    patterns = _kinds(described["$defs"][model] if model else described, name)
    assert len(patterns) == 1
    pattern = re.compile(json.loads(patterns[0]))
    assert [w for w in good if not pattern.search(w)] == []
    assert [w for w in wrong if pattern.search(w)] == []


def _skewed(skew: Skew | dict[str, Any], seed: int = 1) -> dict[str, pa.Table]:
    world = parse_scenario(_bad(skew=[skew]), origin="x")
    return skew_tables(tables(), world.skew, seed=seed)


@pytest.mark.parametrize(
    "skew",
    [
        {"kind": "by-column", "column": "age"},
        {"kind": "dirichlet", "column": "town", "alpha": 0.2},
        {"kind": "sizes", "alpha": 0.5},
        {"kind": "disjoint", "column": "age"},
    ],
)
def test_dealing_keeps_every_row_and_follows_the_seed(skew: dict[str, Any]) -> None:
    dealt = _skewed(skew)
    order = [("age", "ascending"), ("town", "ascending"), ("ill", "ascending")]
    before = pa.concat_tables(tables().values()).sort_by(order)
    assert pa.concat_tables(dealt.values()).sort_by(order).equals(before)
    assert all(dealt[s].equals(t) for s, t in _skewed(skew).items())
    assert any(not dealt[s].equals(t) for s, t in tables().items())


def test_disjoint_values_lie_in_one_silo_each() -> None:
    dealt = _skewed({"kind": "disjoint", "column": "age"})
    values = [set(t["age"].to_pylist()) for t in dealt.values()]
    assert sum(len(v) for v in values) == len(set.union(*values))


def test_rows_are_not_dealt_anew_between_tables_that_do_not_go_together() -> None:
    dealt = {"kind": "dirichlet", "column": "town", "alpha": 1}
    lost = {"kind": "missing-column", "column": "ill", "silos": ["west"]}
    world = parse_scenario(_bad(skew=[lost, dealt]), origin="x")
    with pytest.raises(InvalidTable, match="skew 1: silos north and west have different columns"):
        skew_tables(tables(), world.skew, seed=1)
    text = tables()["west"].set_column(0, "age", pa.array(["old"] * 40))
    with pytest.raises(InvalidTable, match=r"skew 0: .* types that do not go together"):
        skew_tables(dict(tables()) | {"west": text}, world.skew[1:], seed=1)


def test_a_far_shift_of_whole_numbers_stays_a_number() -> None:
    moved = _skewed({"kind": "shift", "column": "age", "by": 1e12})
    assert min(moved["west"]["age"].to_pylist()) >= 10**12


def _moved(values: list[Any], by: float, kind: pa.DataType | None = None) -> list[Any]:
    shift = {"kind": "shift", "column": "c", "by": by, "silos": ["north"]}
    world = parse_scenario(_bad(skew=[shift]), origin="x")
    table = pa.table({"c": pa.array(values, kind)})
    return skew_tables({"north": table}, world.skew, seed=1)["north"]["c"].to_pylist()  # type: ignore[no-any-return]  # PyArrow's


@pytest.mark.parametrize(
    ("values", "by", "moved"),
    [
        (["31", "NA", None, "-2"], 7, ["38", "NA", None, "5"]),
        (["31", "32"], 0.75, ["32", "33"]),
        (["31.25", "7"], 0.5, ["31.75", "7.5"]),
        (["2024-02-27", "2023-12-31T08:00", ""], 3, ["2024-03-01", "2024-01-03T08:00", ""]),
        ([date(2024, 2, 27), None], 3, [date(2024, 3, 1), None]),
        ([datetime(2024, 2, 27)], -0.5, [datetime(2024, 2, 26, 12)]),
        ([Decimal("1.25"), None], 7.5, [Decimal("8.75"), None]),
    ],
)
def test_numbers_and_dates_are_shifted_however_they_are_written(
    values: list[Any], by: float, moved: list[Any]
) -> None:
    assert _moved(values, by) == moved


@pytest.mark.parametrize(
    ("values", "by", "words"),
    [
        (["1,200", "7"], 1, "neither numbers nor dates"),
        (["x", None], 1, "no numbers to shift"),
        (["2024-02-27"], 0.5, "whole days"),
        ([date(2024, 2, 27)], 0.5, "whole days"),
        (["9999-12-30"], 3, "beyond the year"),
        ([date(9999, 12, 30)], 3, "beyond the years"),
        (["2024-13-30"], 3, "no date"),
        ([True], 3, "no numbers"),
        ([[1]], 3, "no numbers"),
    ],
)
def test_what_cannot_be_shifted_is_refused(values: list[Any], by: float, words: str) -> None:
    with pytest.raises(InvalidTable, match=f"skew 0: column 'c' .*{words}"):
        _moved(values, by)


def test_numbers_in_text_are_dealt_in_the_order_of_numbers() -> None:
    deal = parse_scenario(_bad(skew=[{"kind": "by-column", "column": "c"}]), origin="x").skew
    numbers = {"a": [10, 2, 100, 9], "b": [1, 20, 3, 11]}
    whole = skew_tables({s: pa.table({"c": n}) for s, n in numbers.items()}, deal, seed=1)
    text = {s: pa.table({"c": [str(i) for i in n]}) for s, n in numbers.items()}
    dealt = skew_tables(text, deal, seed=1)
    assert [int(n) for n in dealt["a"]["c"].to_pylist()] == whole["a"]["c"].to_pylist()
    assert sorted(whole["a"]["c"].to_pylist()) == [1, 2, 3, 9]


BYTES = ("spelling", [b"\xff\xfe", b"\xfe"])
LISTS = [(kind, [[1], [2]]) for kind in ("by-column", "dirichlet", "disjoint", "spelling")]


@pytest.mark.parametrize(("kind", "values"), [*LISTS, BYTES])
def test_columns_that_a_skew_cannot_read_are_named(kind: str, values: list[Any]) -> None:
    more = {"alpha": 1} if kind == "dirichlet" else {}
    world = parse_scenario(_bad(skew=[{"kind": kind, "column": "c"} | more]), origin="x")
    with pytest.raises(InvalidTable, match=f"skew 0: column 'c' of {kind}"):
        skew_tables({"north": pa.table({"c": values})}, world.skew, seed=1)


def test_columns_are_spoilt_where_it_was_said() -> None:
    one = {"silos": ["west"]}
    assert (
        "ill" not in _skewed(one | {"kind": "missing-column", "column": "ill"})["west"].schema.names
    )
    spelt = _skewed(one | {"kind": "spelling", "column": "town"})
    assert set(spelt["west"]["town"].to_pylist()) == {"N", "S", "W"}
    moved = _skewed(one | {"kind": "shift", "column": "age", "by": 2})
    ages = [n + 2 for n in tables()["west"]["age"].to_pylist()]
    assert moved["west"]["age"].to_pylist() == ages
    assert spelt["north"].equals(tables()["north"])
    with pytest.raises(InvalidTable, match="no numbers"):
        _skewed(one | {"kind": "shift", "column": "town", "by": 2})
    with pytest.raises(InvalidTable, match="no column 'height'"):
        _skewed(one | {"kind": "shift", "column": "height", "by": 2})


def test_the_commands_write_check_show_and_live_through(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    (tmp_path / "t").mkdir()
    for silo, table in tables().items():
        pq.write_table(table, tmp_path / "t" / f"{silo}.parquet")
    (tmp_path / "plan.yaml").write_text(dump_plan(plan()))
    (tmp_path / "schema.yaml").write_text(dump_schema(schema()))
    asked, world = str(tmp_path / "plan.yaml"), str(tmp_path / "world.yaml")
    assert run(["scenario", "new", asked, "--regions", "eu,us", "--out", world]) == 0
    assert run(["scenario", "check", world, "--plan", asked]) == 0
    assert run(["scenario", "show", world]) == 0
    command = ["simulate", asked, "--schema", str(tmp_path / "schema.yaml")]
    command += ["--silos", str(tmp_path / "t"), "--scenario", world, "--out", str(tmp_path / "out")]
    assert run(command) == 0
    assert run(command) == 4
    assert run([*command, "--force"]) == 0
    assert (tmp_path / "out" / "timeline.svg").read_text().startswith("<svg xmlns=")
    strict = parse_scenario(CALM, origin="x").model_dump(mode="json", by_alias=True)
    strict["regions"]["eu"]["rules"] = {"max_epsilon": 1}
    (tmp_path / "strict.yaml").write_text(json.dumps(strict))
    assert run(["scenario", "check", str(tmp_path / "strict.yaml"), "--plan", asked]) == 1


IDLE = [
    ({"kind": "crash", "at": "count", "phase": "round-1"}, "plan p has no phase round-1, but one-"),
    ({"kind": "stall", "at": "set", "lasts": "1s"}, "plan p has its own noise"),
    ({"kind": "loss", "at": "set", "probability": 0.5}, "plan p has its own noise"),
    ({"kind": "coordinator", "at": "count", "answers": 9}, "never hears 9 of 4 silos"),
]


@pytest.mark.parametrize(("fault", "words"), IDLE)
def test_what_never_happens_to_a_plan_is_said(fault: dict[str, Any], words: str) -> None:
    happens = {"kind": "loss", "probability": 0.5}
    world = parse_scenario(_bad(faults=[happens, fault]), origin="x")
    (line,) = idle(world, plan("mst"))
    assert line.startswith(f"faults: 1: this {fault['kind']} never happens: ")
    assert words in line


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.yaml")), ids=lambda path: path.stem)
def test_all_of_the_gallery_happens(path: Path) -> None:
    assert list(idle(load_scenario(path), plan("mst", trust="shared"))) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--regions", "e u"], "--regions"),
        (["--regions", "EU/x,us"], "--regions"),
        (["--seed", "99999999999999999999"], "--seed"),
    ],
)
def test_a_new_scenario_is_checked_before_it_is_written(
    more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.yaml").write_text(dump_plan(plan()))
    out = tmp_path / "w.yaml"
    asked = ["scenario", "new", str(tmp_path / "plan.yaml"), "--out", str(out), *more]
    assert run(asked) == 4
    assert not out.exists()
    assert words in capsys.readouterr().err


def test_check_tells_what_never_happens_to_a_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.yaml").write_text(dump_plan(plan()))
    world = _bad(version=1, faults=[IDLE[0][0]])
    (tmp_path / "w.yaml").write_text(json.dumps(world))
    asked = ["scenario", "check", str(tmp_path / "w.yaml"), "--plan", str(tmp_path / "plan.yaml")]
    assert run(asked) == 0
    assert "never happens" in capsys.readouterr().err


SHOWN = [
    (
        "lines",
        ("lasts 3 min", "lasts 1 min 30 s", "0.05 Mbit/s", "lognormal", "loses 0.05", "is in eu"),
    ),
    ("liars", ("west", "lies: no-noise")),
    ("clocks", ("clock 1 min behind", "clock 1 s ahead, drifts by 40 ppm")),
    ("outages", ("up for 4 min, down for 30 s", "0 s until 4 min")),
    (
        "weekend",
        ("09:00-17:00 on mon", "takes 2 h", "-5 h from UTC", "from Fri 2026-03-06 15:30 UTC"),
    ),
    ("rules", ("max_epsilon 5", "only_sums True", "methods aim, mst, independent")),
    ("coordinator", ("at 10 min", "lasts 3 h", "with answer 3 in hand")),
    ("skew", ("alpha 0.8",)),
    ("flaky", ("probability",)),
    ("crashes", ("step ",)),
]


@pytest.mark.parametrize(("name", "words"), SHOWN)
def test_show_hides_nothing_of_a_file(
    name: str,
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(people, "width", 400)
    assert run(["scenario", "show", str(GALLERY / f"{name}.yaml")]) == 0
    shown = capsys.readouterr().err
    assert [w for w in words if w not in shown] == []


def test_every_field_of_a_fault_is_told() -> None:
    stall = {
        "kind": "stall",
        "at": "send",
        "lasts": "2h",
        "phase": "tree",
        "times": 3,
        "from": "1m",
    }
    world = parse_scenario(_bad(faults=[stall]), origin="x")
    told = "stall", "all", "at send of tree, 1 min until the end", "lasts 2 h; 3 times each"
    assert list(described(world))[-1][-1] == [told]


def test_a_timeline_names_who_was_late() -> None:
    from silosynth.simulations.scenario.timeline import Leg

    leg = Leg(name="one-way", begin=0, asked=4, until=90 * SECOND)
    leg.answered.update({"a": SECOND, "b": SECOND, "c": SECOND, "d": 90 * SECOND})
    facts = Timeline(homes=dict.fromkeys("abcd", "eu"), legs=[leg]).facts()
    assert facts["legs"][0]["late"] == [{"silo": "d", "after_the_middle_seconds": 89.0}]
