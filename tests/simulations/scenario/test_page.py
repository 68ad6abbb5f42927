"""The report of a rehearsal shows what happened, to whom, and what the plan's settings did."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from silosynth.simulations.scenario.outcome import Places
from silosynth.simulations.scenario.page import bought, run_page
from silosynth.simulations.scenario.timeline import Leg, Timeline
from silosynth.simulations.world import SECOND
from tests.support.tables.worlds import live, plan, scenario

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
        page.split("\n", 1)[1].replace("&nbsp;", " ").replace('<meta charset="utf-8">', "")
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
    }
    page = run_page(facts, picture="<svg></svg>", title="<i>")
    assert "<script>" not in page
    assert "<i>" not in page
    assert "<b>" not in page
