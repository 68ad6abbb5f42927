"""The report of a rehearsal: one page with the timeline, who was late, and what settings bought."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from silosynth.common.plan import Plan
from silosynth.common.report import element
from silosynth.simulations.scenario.timeline import Leg, Timeline, What
from silosynth.simulations.world import SECOND, spell_span

_STYLE = (
    "body{font:14px/1.45 'DejaVu Sans',Arial,sans-serif;margin:24px;color:#222;max-width:1140px}"
    "svg{max-width:100%;height:auto}table{border-collapse:collapse;margin:8px 0 20px}"
    "th,td{padding:3px 12px 3px 0;text-align:left;border-bottom:1px solid #ddd}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}h2{font-size:16px;margin:24px 0 4px}"
    "h1,p{overflow-wrap:anywhere}.wide{overflow-x:auto}.wide svg{min-width:1000px}"
    "@media(max-width:600px){body{margin:12px}h1{font-size:20px}}"
    "@media print{@page{size:A4 landscape;margin:12mm}body{margin:0;max-width:none;font-size:11px}"
    ".wide{overflow:visible}.wide svg{min-width:0;width:100%}th,td{padding-right:8px}"
    "tr,svg{break-inside:avoid}h2{break-after:avoid}}"
)
_META = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
_COUNTED = (What.AGAIN, What.LOST, What.STALL, What.CRASH, What.CLOCK, What.LATE, What.LEFT)
_MOST_SILOS = 50
_MOST_NAMED = 5

_BEFELL = (
    "silo",
    "region",
    "off",
    "cut off",
    "its person was waited for",
    "sent again",
    "lost",
    "stalls",
    "killed",
    "clock refused",
    "answers too late",
    "stages that went on without it",
    "lies",
    "in the end",
)
_LASTED = ("off_seconds", "cut_off_seconds", "wait_seconds")


def bought(
    plan: Plan, timeline: Timeline, *, left: Mapping[str, str], ended: bool = False
) -> list[dict[str, str]]:
    """Return what the plan's ways with absent silos did in this run, one line each.

    A deadline's slack is what was left of it when the last answer of the slowest stage came.

    Args: ended: whether an error ended the run.
    """
    asked = [leg for leg in timeline.legs if leg.asked]
    deadline = plan.deadline_seconds * SECOND
    within = [leg for leg in asked if leg.name != "propose" and leg.answered]
    lines = [
        ("on_absent", plan.on_absent.value, _absent(plan, left, asked[-1:] if ended else [])),
        ("deadline", spell_span(deadline), _slack(within, deadline)),
        (
            "approval",
            spell_span(plan.approval_seconds * SECOND),
            _slack(
                _whole([leg for leg in asked if leg.name == "propose"]),
                plan.approval_seconds * SECOND,
            ),
        ),
    ]
    if plan.masked:
        sessions = sum(leg.name.startswith("agree: ") for leg in asked) // 2
        spared = f"{len(left)} of {plan.absent} spared silos were missing"
        lines += [
            ("absent", str(plan.absent), spared),
            ("attempts", str(plan.attempts), f"the silos agreed on {sessions} sets"),
        ]
    return [{"setting": s, "value": v, "what_it_did": w} for s, v, w in lines]


def _whole(legs: Sequence[Leg]) -> list[Leg]:
    """Return one stage for the stretches of one that the coordinator's deaths cut in pieces."""
    answered = {silo: when for leg in legs for silo, when in leg.answered.items()}
    if not answered:
        return []
    last = legs[-1]
    return [
        replace(last, begin=legs[0].begin, asked=last.missing + len(answered), answered=answered)
    ]


def _absent(plan: Plan, left: Mapping[str, str], last: Sequence[Leg]) -> str:
    """Say what going on, or stopping, did; ``last`` is the stage that an error ended, if any."""
    if missed := [silo for leg in last for silo in leg.missed]:
        return f"ended the run in {last[0].name}, without an answer of {_few(missed)}"
    if left:
        return f"went on without {len(left)} of {len(plan.silos)} silos: {', '.join(left)}"
    return "the run ended by another error" if last else "no silo was left out"


def _few(names: Sequence[str]) -> str:
    """Return names, the first of many."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _slack(legs: Sequence[Leg], deadline: int) -> str:
    """Say how near the slowest answer came to its deadline, and how many missed it."""
    if not legs:
        return "nothing was answered"
    slow = max(legs, key=lambda leg: max(leg.answered.values()) - leg.begin)
    took = max(slow.answered.values()) - slow.begin
    missing = sum(leg.missing for leg in legs)
    missed = f"; {missing} answers missed it" if missing else ""
    return f"the last answer came after {spell_span(took)}, in {slow.name}{missed}"


def run_page(facts: Mapping[str, Any], *, picture: str, title: str) -> str:
    """Return the page as HTML that opens offline; the same facts give the same bytes."""
    timeline = facts["timeline"]
    held = facts["invariants"]
    broken = held["broken"] or ["all of them held"]
    body = [
        element("h1", title),
        element("p", _ended(facts)),
        element("div", Markup(picture[picture.index("<svg") :]), class_="wide"),
        element("h2", f"Stages, in {timeline['clock']} time"),
        _table(
            (
                "stage",
                "begins",
                "takes",
                "answered",
                "missing",
                "who missed it",
                "late (after the middle one)",
            ),
            [_stage(leg) for leg in timeline["legs"]],
        ),
        element("h2", "What the plan's settings did"),
        _table(
            ("setting", "value", "in this run"),
            [(b["setting"], b["value"], b["what_it_did"]) for b in facts["bought"]],
        ),
        element("h2", bytes_words(timeline["clock"])),
        _table(
            ("region", "to silos", "from silos", "messages queued for its line, altogether"),
            [
                (r, n["to_silos"], n["from_silos"], _queued(n["queued_seconds"]))
                for r, n in timeline["bytes"].items()
            ],
        ),
        element("h2", "Silos to which something happened"),
        _silos(facts),
        *_told(facts["told"]),
        *_alternatives(facts["otherwise"]),
        element("h2", "What holds in every scenario"),
        element("p", f"Looked through: {'; '.join(held['of'])}. Found: {'; '.join(broken)}."),
    ]
    page = element(
        "html",
        element(
            "head",
            Markup(_META),
            element("title", title),
            element("style", Markup(_STYLE)),
        ),
        element("body", *body),
        lang="en",
    )
    return f"<!doctype html>\n{page}\n"


def bytes_words(clock: str) -> str:
    """Return the heading of bytes: reckoned from the plan, or counted on real lines."""
    return "Bytes by region, at most" if clock == "virtual" else "Bytes by region"


def _queued(seconds: float) -> str:
    """Say how long messages queued, where they did."""
    return spell_span(round(seconds * SECOND)) if seconds else ""


def _told(told: Mapping[str, Sequence[str]]) -> list[Markup]:
    """Return what silos' operators were told; nothing where nobody was told anything."""
    rows = [(silo, line) for silo, lines in told.items() for line in lines][:_MOST_SILOS]
    if not rows:
        return []
    return [element("h2", "What operators were told"), _table(("silo", "line"), rows)]


def _alternatives(otherwise: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Return what the same world makes of the plan with one setting otherwise."""
    if not otherwise:
        return []
    rows = [
        (o["setting"], o["value"], o["instead"], o["ended"], o["virtual_time"], o["silos"])
        for o in otherwise
    ]
    header = ("setting", "here", "instead", "then it ends", "after", "silos in the result")
    return [element("h2", "The same world, with one setting otherwise"), _table(header, rows)]


def _ended(facts: Mapping[str, Any]) -> str:
    """Say how a run ended."""
    timeline = facts["timeline"]
    took = f"{timeline['virtual_time']} of {timeline['clock']} time"
    how = f"{facts['ended']} after {took}, with {len(facts['silos'])} silos"
    return how if facts["error"] is None else f"{how}: {facts['error']}"


def _stage(leg: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return a stage's row."""
    late = [
        f"{n['silo']} {spell_span(round(n['after_the_middle_seconds'] * SECOND))}"
        for n in leg["late"][:5]
    ]
    begins = spell_span(round(leg["begin_seconds"] * SECOND))
    counts = (leg["answered"], leg["missing"]) if leg["asked"] else ("", "")
    return (leg["name"], begins, leg["took"], *counts, _few(leg["missed"]), ", ".join(late))


def _silos(facts: Mapping[str, Any]) -> Markup:
    """Return what befell the silos that it befell most, by region."""
    words = [what.value for what in _COUNTED]
    ends = dict.fromkeys(facts["unacknowledged"], "did not confirm the result")
    ends |= {silo: f"left out: {why}" for silo, why in facts["left"].items()}
    rows = []
    for silo, n in facts["timeline"]["silos"].items():
        times = [n.get(name, 0) for name in words]
        spans = [n.get(name, 0.0) for name in _LASTED]
        told = (n.get("lie", ""), ends.get(silo, ""))
        if any((*times, *spans, *told)):
            row = (silo, n["region"], *map(_queued, spans), *times, *told)
            rows.append(((-sum(times), -sum(spans), silo), row))
    if not rows:
        return element("p", "None: a calm run.")
    return _table(_BEFELL, [row for _, row in sorted(rows, key=lambda r: r[0])[:_MOST_SILOS]])


def _table(header: Sequence[str], rows: Iterable[Sequence[str | int]]) -> Markup:
    """Return a table; numbers stand at the right."""
    head = element("tr", *(element("th", word) for word in header))
    lines = [
        element(
            "tr",
            *(
                element("td", f"{cell:,}", class_="n")
                if isinstance(cell, int)
                else element("td", cell or Markup("&nbsp;"))
                for cell in row
            ),
        )
        for row in rows
    ]
    return element("div", element("table", head, *lines), class_="wide")
