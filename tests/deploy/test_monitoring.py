"""Dashboard and alerts ask for metrics and labels that the processes really show, and for all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from silosynth.common.telemetry.telemetry import Role, Telemetry

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
NAME = re.compile(r"\bsilosynth_[a-z_]+\b")
CHOSEN = re.compile(r"\b(silosynth_[a-z_]+)\{([^}]*)\}")
GROUPED = re.compile(r"by \(([^)]*)\)")
LEGEND = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


def _shown() -> dict[str, set[str]]:
    """Return the labels of every series that any process can show, by name."""
    telemetry = Telemetry(role=Role.GATEWAY)
    telemetry.answered("measure", seconds=1.0, received_bytes=1, sent_bytes=1)
    telemetry.refused("ledger-unavailable")
    telemetry.budget(scope="dataset", name="default", spent_rho=0.1, remaining_rho=0.2)
    telemetry.entered("one-way", silos_answered=1)
    telemetry.waits("north", plans=1)
    telemetry.connected("north", is_connected=True)
    telemetry.certificates({"ca": 12.0, "superlink": None})
    telemetry.notified("mail", outcome="failed")
    return {
        sample.name: set(sample.labels)
        for family in telemetry.registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def _asked() -> list[tuple[str, str]]:
    """Return each expression with the text that names its labels."""
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    asked = [(t["expr"], t["legendFormat"]) for p in panels for t in p["targets"]]
    return asked + [(r["expr"], json.dumps(r["annotations"])) for r in _rules()]


def test_every_metric_that_is_asked_for_exists_with_its_labels() -> None:
    shown = _shown()
    for expression, words in _asked():
        names = set(NAME.findall(expression))
        assert names, expression
        assert names <= shown.keys(), expression
        for name, chosen in CHOSEN.findall(expression):
            assert set(re.findall(r"(\w+)=", chosen)) <= shown[name], expression
        grouped = GROUPED.findall(expression)
        have = {label.strip() for g in grouped for label in g.split(",")}
        whole = set.union(*(shown[name] for name in names))
        assert have <= whole, expression
        assert set(LEGEND.findall(words)) <= (have or whole), expression


def test_every_metric_that_exists_is_on_the_dashboard_and_in_the_reference() -> None:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    on_it = {n for p in panels for t in p["targets"] for n in NAME.findall(t["expr"])}
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    for name in _shown():
        family = re.sub(r"_(bucket|count|sum)$", "", name)
        assert {name, f"{family}_bucket"} & on_it, name
        assert f"`{family}`" in page, name


def test_alerts_have_names_of_their_own_severities_and_words() -> None:
    names = [rule["alert"] for rule in _rules()]
    assert len(set(names)) == len(names) > 5
    for rule in _rules():
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_panels_do_not_lie_over_one_another() -> None:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(set(places)) == len(places)
    assert len({p["id"] for p in panels}) == len(panels)
