"""The report of a rehearsal shows what happened, to whom, and what the plan's settings did."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from silosynth.simulations.scenario.outcome import Places
from silosynth.simulations.scenario.page import bought, bytes_words, run_page
from silosynth.simulations.scenario.timeline import Leg, Timeline, What
from silosynth.simulations.world import SECOND, load_scenario
from tests.support.tables.worlds import live, plan, scenario

GALLERY = Path(__file__).parents[3] / "deploy" / "examples" / "scenarios"
STALL = {"kind": "stall", "at": "count", "lasts": "2h", "silos": ["east"]}


def test_the_page_says_who_was_left_out_and_what_that_bought(tmp_path: Path) -> None:
    asked = plan(on_absent="continue")
    came = live(asked, scenario(faults=[STALL]), tmp_path / "run")
    places = Places(path=tmp_path / "run")
    facts, page = json.loads(places.facts.read_text()), places.report.read_text()
    (absent,) = (b for b in facts["bought"] if b["setting"] == "on_absent")
    assert absent["what_it_did"] == "went on without 1 of 4 silos: east"
    assert absent["what_it_did"] in page
    assert "completed after" in page
    for leg in facts["timeline"]["legs"]:
        assert f"<td>{leg['name']}</td>" in page
    for region, count in facts["timeline"]["bytes"].items():
        assert f'<td>{region}</td><td class="n">{count["to_silos"]:,}</td>' in page
    assert places.picture.read_text().split(">", 1)[1].strip() in page
    assert came.broken == ()


def test_the_page_opens_offline_and_is_one_of_its_facts(tmp_path: Path) -> None:
    live(plan(), scenario(), tmp_path / "run")
    places = Places(path=tmp_path / "run")
    page, facts = places.report.read_text(), json.loads(places.facts.read_text())
    assert re.findall(r"(?:src|href)=", page) == []
    assert "<script" not in page
    ElementTree.fromstring(
        re.sub("<meta [^>]*>", "", page.split("\n", 1)[1].replace("&nbsp;", " "))
    )
    title = re.search("<title>(.*?)</title>", page)
    assert title is not None
    assert page == run_page(facts, picture=places.picture.read_text(), title=title[1])
    assert "None: a calm run." in page


def test_a_run_that_ended_in_an_error_has_a_page_too(tmp_path: Path) -> None:
    live(plan(), scenario(faults=[STALL]), tmp_path / "run")
    page = Places(path=tmp_path / "run").report.read_text()
    assert "silo-absent after" in page
    assert "<td>east</td>" in page


def test_a_shared_plan_says_what_its_spared_silos_and_attempts_did(tmp_path: Path) -> None:
    asked = plan(trust="shared", absent=1, attempts=2, on_absent="continue")
    gone = {"kind": "partition", "silos": ["west"]}
    came = live(asked, scenario(faults=[gone]), tmp_path / "run")
    said = {b["setting"]: b["what_it_did"] for b in came.facts()["bought"]}
    assert said["absent"] == "1 of 1 spared silos were missing"
    assert said["attempts"].startswith("the silos agreed on ")
    assert "on_absent" in said


def test_a_setting_is_worth_what_the_same_world_makes_of_the_plan_without_it(
    tmp_path: Path,
) -> None:
    asked = plan(on_absent="continue")
    came = live(asked, scenario(faults=[STALL]), tmp_path / "run", otherwise=True)
    ends = {(o["setting"], o["instead"]): (o["ended"], o["silos"]) for o in came.otherwise}
    assert ends == {
        ("deadline", "2 min 30 s"): ("completed", 3),
        ("deadline", "40 min"): ("completed", 3),
        ("on_absent", "stop"): ("silo-absent", 0),
    }
    took = {o["instead"]: o["virtual_seconds"] for o in came.otherwise}
    assert took["2 min 30 s"] < came.timeline.until / SECOND < took["40 min"]
    facts = json.loads(Places(path=tmp_path / "run").facts.read_text())
    assert facts["otherwise"] == list(came.otherwise)
    page = Places(path=tmp_path / "run").report.read_text()
    assert "The same world, with one setting otherwise" in page
    assert came.broken == ()


def test_a_deadline_that_waits_long_enough_keeps_every_silo(tmp_path: Path) -> None:
    hour = {"kind": "stall", "at": "count", "lasts": "30m", "silos": ["east"]}
    asked = plan(on_absent="continue")
    came = live(asked, scenario(faults=[hour]), tmp_path / "run", otherwise=True)
    assert [o["silos"] for o in came.otherwise if o["instead"] == "40 min"] == [4]
    assert tuple(came.state.left) == ("east",)


def test_spared_silos_and_attempts_are_tried_without(tmp_path: Path) -> None:
    asked = plan(trust="shared", absent=1, attempts=2, on_absent="continue")
    gone = {"kind": "partition", "silos": ["west"]}
    came = live(asked, scenario(faults=[gone]), tmp_path / "run", otherwise=True)
    ends = {(o["setting"], o["instead"]): o["ended"] for o in came.otherwise}
    assert ends["absent", "0"] == "deadline-exceeded"
    assert ends["attempts", "1"] == "completed"


def test_the_page_says_what_operators_were_told(tmp_path: Path) -> None:
    spelt = {"kind": "spelling", "column": "town", "silos": ["west"]}
    came = live(plan(), scenario(skew=[spelt]), tmp_path / "run")
    assert set(came.told) == {"west"}
    page = Places(path=tmp_path / "run").report.read_text()
    assert "What operators were told" in page
    assert "<td>west</td>" in page


def test_slack_is_that_of_the_slowest_stage() -> None:
    legs = [
        Leg(name="one-way", begin=0, asked=2, until=9 * SECOND),
        Leg(name="tree", begin=10 * SECOND, asked=2, until=40 * SECOND),
    ]
    legs[0].answered.update({"a": SECOND, "b": 9 * SECOND})
    legs[1].answered.update({"a": 35 * SECOND})
    line = bought(plan(), Timeline(homes=dict.fromkeys("ab", "eu"), legs=legs), left={})[1]
    assert line["value"] == "10 min"
    assert line["what_it_did"] == "the last answer came after 25 s, in tree; 1 answers missed it"


def test_what_a_name_holds_is_escaped() -> None:
    facts = {
        "timeline": {
            "virtual_time": "0 s",
            "clock": "virtual",
            "legs": [],
            "bytes": {"<b>": dict.fromkeys(("to_silos", "from_silos", "queued_seconds"), 1)},
            "silos": {},
        },
        "told": {"<b>": ["<b>"]},
        "otherwise": [
            dict.fromkeys(("setting", "value", "instead", "ended", "virtual_time", "silos"), "<b>")
        ],
        "invariants": {"of": [], "broken": []},
        "bought": [],
        "ended": "completed",
        "error": "<script>",
        "silos": [],
        "left": {},
        "unacknowledged": {},
    }
    page = run_page(facts, picture="<svg></svg>", title="<i>")
    assert "<script>" not in page
    assert "<i>" not in page
    assert "<b>" not in page


def _rows(page: str) -> dict[str, list[str]]:
    """Return the cells of each silo to which something happened."""
    table = page.split("Silos to which something happened", 1)[1].split("</table>", 1)[0]
    found = [re.findall("<td[^>]*>(.*?)</td>", row) for row in table.split("<tr>")[2:]]
    return {row[0]: row for row in found}


def _page(name: str, directory: Path) -> str:
    live(plan(on_absent="continue"), load_scenario(GALLERY / f"{name}.yaml"), directory)
    return Places(path=directory).report.read_text()


def test_outages_are_no_calm_run(tmp_path: Path) -> None:
    rows = _rows(_page("outages", tmp_path / "run"))
    assert rows["west"][3] == rows["east"][3] == "4 min"
    assert rows["south"][2] == "4 min"
    assert "north" not in rows


def test_lies_and_what_came_of_them_stand_in_the_report(tmp_path: Path) -> None:
    liars = {"west": {"lie": "rubbish"}, "east": {"lie": "stale-ledger"}}
    came = live(plan(on_absent="continue"), scenario(silos=liars), tmp_path / "run")
    rows = _rows(Places(path=tmp_path / "run").report.read_text())
    assert rows["west"][-2] == "rubbish"
    assert rows["west"][-1].startswith("left out: ")
    assert rows["east"][-2:] == ["stale-ledger", "did not confirm the result"]
    assert set(came.state.unacknowledged()) == {"east"}


def test_who_missed_a_stage_stands_in_its_row(tmp_path: Path) -> None:
    gone = {"kind": "partition", "at": "deliver", "silos": ["east"], "lasts": "2d"}
    came = live(plan(), scenario(faults=[gone]), tmp_path / "run")
    assert [leg.missed for leg in came.timeline.legs if leg.missed] == [["east"]]
    page = Places(path=tmp_path / "run").report.read_text()
    assert "<td>no silo was left out</td>" in page
    assert "left out:" not in page
    assert _rows(page)["east"][-1] == "did not confirm the result"
    assert re.search("<td>deliver</td>(<td[^>]*>[^<]*</td>){4}<td>east</td>", page)


def test_a_person_who_has_not_decided_is_seen_to_be_waited_for(tmp_path: Path) -> None:
    came = live(plan(), load_scenario(GALLERY / "weekend.yaml"), tmp_path / "run")
    waits = {m.silo: m for m in came.timeline.marks if m.what is What.WAIT}
    assert set(waits) == {"north", "south", "west", "east"}
    assert waits["north"].until == came.timeline.until
    page = Places(path=tmp_path / "run").report.read_text()
    assert _rows(page)["north"][4] == "23 h 59 min"
    assert "ended the run in propose, without an answer of" in page


def test_the_slower_of_two_is_late() -> None:
    leg = Leg(name="tree", begin=0, asked=2, until=90 * SECOND)
    leg.answered.update({"a": SECOND, "b": 90 * SECOND})
    assert leg.late() == [("b", 89 * SECOND)]


def test_people_are_waited_for_from_the_first_of_two_stretches() -> None:
    legs = [
        Leg(name="propose", begin=0, asked=2, until=600 * SECOND, cut=True),
        Leg(name="coordinator off", begin=600 * SECOND, asked=0, until=900 * SECOND),
        Leg(name="propose", begin=900 * SECOND, asked=1, until=960 * SECOND),
    ]
    legs[0].answered.update({"a": 60 * SECOND})
    legs[2].answered.update({"b": 960 * SECOND})
    line = bought(plan(), Timeline(homes=dict.fromkeys("ab", "eu"), legs=legs), left={})[2]
    assert line["what_it_did"] == "the last answer came after 16 min, in propose"


def test_bytes_are_bounds_by_the_virtual_clock_alone() -> None:
    assert bytes_words("virtual") == "Bytes by region, at most"
    assert bytes_words("real") == "Bytes by region"


def test_the_page_is_for_phones_and_paper_too(tmp_path: Path) -> None:
    live(plan(), scenario(), tmp_path / "run")
    page = Places(path=tmp_path / "run").report.read_text()
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "@media print" in page
    assert page.count('<div class="wide"><') == page.count("<table>") + page.count("<svg")
