"""Render the facts of a report as one HTML file that opens offline, and write both."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from silosynth.common.errors import InvalidArgument, OutputExists
from silosynth.common.files import replace_file
from silosynth.common.report import evaluation_plots, privacy_plots
from silosynth.common.report import numbers as report_numbers
from silosynth.common.report import plots as report_plots
from silosynth.common.report import words as report_words
from silosynth.common.report.facts import (
    Mode,
    PairFacts,
    ReportFacts,
    Score,
    ScoreName,
    encode_facts,
)
from silosynth.common.report.held import plots as held_plots
from silosynth.common.report.sheet import draw_sheet

HTML_NAME = "report.html"
JSON_NAME = "report.json"
WORST_PAIRS = 20
_HERE = Path(__file__).parent
_TEMPLATE, _STYLE = "report.html.j2", "report.css"
_PARTS = ("evaluation.html.j2", "held.html.j2")


def render_report(facts: ReportFacts) -> str:
    """Return the page of ``facts``.

    Guarantees: the same facts give the same text; every name and label is escaped; nothing in the
    page loads or runs anything, and its Content-Security-Policy forbids the browser to.
    """
    return offline_page(
        _HERE,
        _TEMPLATE,
        *_PARTS,
        style=_STYLE,
        filters=_filters(facts.mode),
        facts=facts,
        words=report_words.WORDS,
        sections=report_words.sections(facts),
        state_words=evaluation_plots.STATE_WORDS,
        verdict=report_words.verdict(facts),
        figures=_figures(facts),
        glance=_glance(facts),
        reference_name=report_plots.REFERENCE_NAME[facts.mode],
        synthetic_name=report_plots.SYNTHETIC_NAME[facts.mode],
        scale=_scale(facts.mode),
        worst_pairs=_worst_pairs(facts),
        held_rows=[] if facts.held_out is None else held_plots.held_rows(facts.held_out),
        held_few="" if facts.held_out is None else held_plots.few_words(facts.held_out),
        silo_rows=any(s.rows is not None for s in facts.silos),
        provenance=_provenance(facts),
    )


def offline_page(
    folder: Path,
    template: str,
    *parts: str,
    style: str,
    filters: Mapping[str, Callable[..., Any]],
    **said: Any,
) -> str:
    """Render a template of ``folder``, with the parts that it includes and its style within it.

    Guarantees: everything is escaped, an unknown name is an error, and the page may apply this
    style sheet (``style_hash``) and load or run nothing.
    """
    texts = {name: _resource(folder, name) for name in (template, *parts)}
    environment = Environment(loader=DictLoader(texts), autoescape=True, undefined=StrictUndefined)
    environment.filters |= filters
    sheet = _resource(folder, style)
    return environment.get_template(template).render(
        said, style=Markup(sheet), style_hash=style_source(sheet)
    )


def write_report(facts: ReportFacts, directory: Path, *, force: bool = False) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json`` into ``directory`` and return their paths.

    Both are rendered before either is written, and each appears under its name only when it is
    complete. Raises OutputExists where one is in the way and ``force`` is off, InvalidArgument
    where the directory cannot be written.
    """
    page, data = directory / HTML_NAME, directory / JSON_NAME
    contents = {page: render_report(facts).encode(), data: encode_facts(facts)}
    check_place(directory, force=force)
    write_beside(directory, contents, what="the report")
    return page, data


def write_beside(directory: Path, contents: Mapping[Path, bytes], *, what: str) -> None:
    """Write files of one directory, each whole or not at all; make it where it is not there.

    Raises InvalidArgument where it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            replace_file(path, content, mode=0o666)
    except OSError as err:
        raise InvalidArgument(
            f"{directory}: {what} cannot be written: {err.strerror}",
            hint="choose a directory that you may write to",
        ) from err


def check_place(directory: Path, *, force: bool) -> None:
    """Raise OutputExists where a report is in the way and ``force`` is off."""
    for path in (directory / HTML_NAME, directory / JSON_NAME):
        if path.exists() and not force:
            raise OutputExists(f"{path} is in the way", hint="choose another place or use --force")


def _filters(mode: Mode) -> dict[str, Callable[..., Any]]:
    """Return the page's ways to write a number or draw a fact."""
    digits = 4 if mode is Mode.SIMULATION else 2
    return {
        "score": partial(report_numbers.fixed, digits=digits),
        "cost": report_numbers.cost,
        "count": report_numbers.count,
        "small": report_numbers.small,
        "percent": report_numbers.percent,
        "score_title": report_words.score_title,
        "score_detail": report_words.score_detail,
        "score_remark": report_words.score_remark,
        "subsample": report_words.subsample,
        "score_ways": report_words.score_ways,
        "ruler": report_plots.draw_ruler,
        "sheet": draw_sheet,
        "lamp": evaluation_plots.draw_lamp,
        "measure": evaluation_plots.draw_measure,
        "agreement": evaluation_plots.draw_agreement,
        "quantiles": evaluation_plots.draw_quantiles,
        "target": evaluation_plots.draw_target,
        "importance": evaluation_plots.draw_importance,
        "curves": privacy_plots.draw_curves,
        "audit": privacy_plots.draw_audit,
        "curve_class": privacy_plots.curve_class,
        "middle": held_plots.middle,
        "ends": held_plots.ends_of,
        "near": held_plots.near_words,
        "least": held_plots.least_words,
        "draw_gain": held_plots.draw_gain,
        "plain": report_numbers.plain,
        "moment": report_numbers.moment,
        "span": report_numbers.span,
        "plot": partial(report_plots.draw_attribute, mode=mode),
        "heatmap": partial(report_plots.draw_heatmap, mode=mode),
    }


def _figures(facts: ReportFacts) -> list[tuple[str, str, str]]:
    """Return the headline's (name, number, remark)."""
    head, certificate = facts.headline, facts.certificate
    figures = [
        ("Attributes", report_numbers.count(head.attributes), ""),
    ]
    if head.silos:
        figures.append(("Silos", report_numbers.count(head.silos), ""))
    if certificate is not None:
        budget = "" if facts.plan is None else report_numbers.cost(facts.plan.epsilon)
        figures += [
            (
                "Epsilon",
                report_numbers.cost(certificate.epsilon),
                f"of a budget of {budget}" if budget else "",
            ),
            ("Delta", report_numbers.small(certificate.delta), ""),
        ]
    if head.rows_synthetic is not None:
        figures.insert(0, ("Rows", report_numbers.count(head.rows_synthetic), _row_remark(facts)))
    elif head.rows_estimated is not None:
        about = report_numbers.count(round(head.rows_estimated))
        figures.insert(0, ("Rows, about", about, "in all silos, by noised counts"))
    return figures


def _row_remark(facts: ReportFacts) -> str:
    """Say how many rows the table was made from, as far as this report may know."""
    head = facts.headline
    if head.rows_real is not None:
        return f"made from {report_numbers.count(head.rows_real)} real rows (private)"
    if head.rows_estimated is not None:
        return f"silos hold about {report_numbers.count(round(head.rows_estimated))} (noised)"
    return ""


def _glance(facts: ReportFacts) -> list[Score]:
    """Return the scores of the summary: one measure, by rising k."""
    shown = {Mode.SIMULATION: ScoreName.MARGINAL_DISTANCE, Mode.FEDERATION: ScoreName.NOISE_RATIO}
    return sorted((s for s in facts.scores if s.name is shown[facts.mode]), key=lambda s: s.ways)


def _worst_pairs(facts: ReportFacts) -> list[PairFacts]:
    """Return the pairs that lie farthest off, worst first."""
    pairs = facts.pairs.pairs
    return sorted(pairs, key=lambda p: (-p.value, p.left, p.right))[:WORST_PAIRS]


def _scale(mode: Mode) -> list[str]:
    """Name the colour steps of the heatmap."""
    steps = [f"{s:g}" for s in report_plots.STEPS[mode]]
    return [f"< {steps[0]}", *(f"{s}" for s in steps[:-1]), f"≥ {steps[-1]}"]


def _provenance(facts: ReportFacts) -> list[tuple[str, str]]:
    """Return what is needed to make the table again as (name, value)."""
    plan = {"plan": facts.plan.digest} if facts.plan else {}
    found: Mapping[str, Mapping[str, object]] = {
        "digest": plan | dict(facts.provenance.digests),
        "seed": facts.provenance.seeds,
        "version": facts.provenance.versions,
    }
    return [(f"{k} of {n}", str(v)) for k, part in found.items() for n, v in part.items()]


def style_text() -> str:
    """Return the style sheet of a report."""
    return _resource(_HERE, _STYLE)


def style_source(style: str) -> str:
    """Return the source expression that lets this style sheet, and no other, apply."""
    digest = hashlib.sha256(style.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _resource(folder: Path, name: str) -> str:
    """Return a text file that ships with the modules of a folder."""
    return (folder / name).read_text(encoding="utf-8")
