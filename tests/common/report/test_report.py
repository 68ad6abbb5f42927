"""The page: the same facts give the same bytes, names are escaped, nothing is half written."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.common.errors import InvalidArgument, OutputExists
from silosynth.common.report import (
    Headline,
    Mode,
    PairFacts,
    PairsFacts,
    Provenance,
    Reference,
    ReportFacts,
    Score,
    ScoreName,
    attribute_facts,
    element,
    fit,
    picture,
    write_report,
)
from silosynth.common.report import numbers as report_numbers
from silosynth.common.report import words as report_words
from silosynth.common.report.bars import MAX_BINS, MAX_ROWS
from silosynth.common.report.facts import (
    CertificateFacts,
    Layout,
    PhaseFacts,
    PlanFacts,
    SiloFacts,
    decode_facts,
    encode_facts,
)
from silosynth.common.report.layout import WORST_PAIRS, render_report
from silosynth.common.report.plots import STEPS, draw_ruler, heat_step
from silosynth.common.report.terms import MAX_LABEL
from silosynth.common.schema import Schema, parse_schema

HOSTILE = "\"><script>document.title='pwned'</script><img src=x onerror=alert(1)>'&amp;"
VOID = {"meta", "br", "img", "link", "input"}


def make_schema(*names: str) -> Schema:
    """Return a schema with one attribute of each kind in turn."""
    kinds: list[dict[str, Any]] = [
        {"kind": "categorical", "categories": ["a", HOSTILE, "c"], "missing": True},
        {"kind": "integer", "minimum": 0, "maximum": 99, "missing": True},
        {"kind": "ordinal", "categories": [f"level {i}" for i in range(20)]},
        {"kind": "boolean"},
        {"kind": "real", "minimum": -1.5, "maximum": 2e6},
        {"kind": "datetime", "minimum": "2020-01-01", "maximum": "2024-01-01"},
    ]
    attributes = [{"name": n, **kinds[i % len(kinds)]} for i, n in enumerate(names)]
    return parse_schema({"name": "people", "attributes": attributes})


def make_facts(*names: str, mode: Mode = Mode.SIMULATION) -> ReportFacts:
    """Return facts over made-up marginals."""
    rng = np.random.default_rng(5)
    real = mode is Mode.SIMULATION
    schema = make_schema(*names)
    attributes = []
    for place, attribute in enumerate(schema.coded):
        reference, synthetic = rng.dirichlet(np.ones(attribute.size), size=2)
        attributes.append(
            attribute_facts(
                attribute,
                reference=reference if real else reference - 0.02,
                synthetic=synthetic,
                variance=None if real else np.full(attribute.size, 1e-4),
                value=0.5 - place / 1000,
                ceiling=0.01,
            )
        )
    pairs = [
        PairFacts(left=i, right=j, value=(i + j) / 100, ceiling=0.01, floor=0.2, chosen=j == i + 1)
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    scores = [
        Score(
            name=ScoreName.MARGINAL_DISTANCE if real else ScoreName.NOISE_RATIO,
            ways=ways,
            marginals=10,
            value=0.0411 * ways,
            ceiling=0.0182,
            ceiling_is=Reference.BOOTSTRAP if real else Reference.NOISE,
            floor=0.0951 * ways,
            floor_is=Reference.INDEPENDENT,
            subsample=0.018 if real else None,
        )
        for ways in (1, 2)
    ]
    return ReportFacts(
        mode=mode,
        headline=Headline(
            schema_name="people",
            attributes=len(names),
            silos=2,
            rows_synthetic=1234,
            rows_real=5678 if real else None,
            rows_estimated=None if real else 5600.5,
        ),
        certificate=CertificateFacts(epsilon=0.97, delta=1e-6, sentences=("It is so & so.",)),
        scores=tuple(scores),
        attributes=tuple(attributes),
        pairs=PairsFacts(attributes=names, pairs=tuple(pairs)),
        silos=(
            SiloFacts(name="north", rho=0.0189231, epsilon=1.0, rows=4321 if real else None),
            SiloFacts(name="south", rho=0.0189231, epsilon=1.0, rows=1357 if real else None),
        ),
        plan=PlanFacts(
            id="people-1",
            digest="sha256:" + "a1" * 32,
            method="mst",
            trust="own",
            epsilon=1.0,
            delta=1e-6,
            rows_per_person=1,
            unit="row",
            phases=(
                PhaseFacts(
                    name="one-way", marginals=2, cells=9, sigma2="5/2", sigma=1.58, rho=0.01
                ),
            ),
        ),
        provenance=Provenance(digests={"schema": schema.digest}, seeds={"draw": 7}),
    )


class _Page(HTMLParser):
    """Collect tags, references and text, and check that tags are balanced."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)


def text_of(page: str) -> str:
    """Return the words of a page with single spaces."""
    return re.sub(r"\s+", " ", " ".join(_Page(page).text))


BOTH = pytest.mark.parametrize("mode", list(Mode))


@BOTH
def test_the_same_facts_give_the_same_bytes(mode: Mode) -> None:
    facts = make_facts("age", "sex", mode=mode)
    again = decode_facts(encode_facts(facts))
    assert again == facts
    assert encode_facts(again) == encode_facts(facts)
    assert render_report(again) == render_report(facts)


@BOTH
def test_hostile_names_become_text(mode: Mode) -> None:
    page = render_report(
        make_facts(HOSTILE, "<i>tilted</i>", "c" * 128, "名前の長い属性" * 9, mode=mode)
    )
    parsed = _Page(page)
    tags = {tag for tag, _ in parsed.tags}
    assert not tags & {"script", "img", "i"}
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert HOSTILE in "".join(parsed.text)


@BOTH
def test_nothing_on_the_page_loads_or_runs(mode: Mode) -> None:
    page = render_report(make_facts("age", "sex", "level", mode=mode))
    for tag, attributes in _Page(page).tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "use"}
        assert "src" not in attributes
        assert "style" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(" not in page
    assert "@import" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_content_security_policy_allows_this_style_sheet_alone() -> None:
    page = render_report(make_facts("age"))
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    digest = hashlib.sha256(style.encode()).digest()
    assert f"style-src 'sha256-{base64.b64encode(digest).decode()}'" in page
    assert "default-src 'none'" in page


@BOTH
def test_every_section_says_what_the_report_was_made_from(mode: Mode) -> None:
    page = render_report(make_facts("age", "sex", mode=mode))
    mark = report_words.MARK[mode]
    assert page.count(f'<p class="mark">{mark}</p>') == page.count("<section")
    assert report_words.RIBBON[mode][0] in text_of(page)
    other = next(m for m in Mode if m is not mode)
    assert report_words.MARK[other] not in page


@BOTH
def test_the_print_header_says_what_the_ribbon_says(mode: Mode) -> None:
    style = (Path(__file__).parents[3] / "common" / "report" / "report.css").read_text()
    header = style[style.index(f"@page {mode.value}") :]
    assert report_words.RIBBON[mode][0] in header[: header.index("}")]


def test_a_simulation_shows_its_numbers() -> None:
    text = text_of(render_report(make_facts("age", "sex")))
    for number in ("1,234", "5,678", "0.9700", "10⁻⁶", "0.0411", "0.0182", "0.0951", "4,321"):
        assert number in text
    assert "1.8\u00a0%" in render_report(make_facts("age", "sex"))


def test_a_federation_has_no_place_for_private_counts() -> None:
    facts = make_facts("age", "sex", mode=Mode.FEDERATION)
    assert "(private)" not in render_report(facts)
    for change in (
        {"headline": facts.headline.model_copy(update={"rows_real": 5}).model_dump()},
        {"silos": [s.model_copy(update={"rows": 5}).model_dump() for s in facts.silos]},
        {
            "attributes": [
                a.model_copy(update={"spread": None}).model_dump() for a in facts.attributes
            ]
        },
    ):
        data = json.loads(encode_facts(facts)) | json.loads(json.dumps(change))
        with pytest.raises(InvalidArgument, match="federation"):
            decode_facts(json.dumps(data).encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not json", "is not a report's JSON"),
        (b"[1]", "version None"),
        (b'{"version": 2}', "version 2 of a report is not known"),
        (b'{"version": 4}', "version 4 of a report is not known"),
        (b'{"version": 3, "extra": 1}', "r.json: "),
        (b"[" * 100_000, "is not a report's JSON"),
    ],
)
def test_facts_of_another_version_or_shape_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        decode_facts(data, origin="r.json")


def test_facts_round_costs_up_and_other_numbers_to_nearest() -> None:
    silo = SiloFacts(name="a", rho=0.12345612, epsilon=1.0)
    assert silo.rho == 0.123457
    assert SiloFacts.model_validate(silo.model_dump()) == silo
    score = make_facts("age").scores[0].model_copy(update={"value": 0.12345612})
    assert Score.model_validate(score.model_dump()).value == 0.123456


def test_files_appear_complete_and_are_not_overwritten(tmp_path: Path) -> None:
    facts = make_facts("age", "sex")
    page, data = write_report(facts, tmp_path / "out")
    assert page.read_text() == render_report(facts)
    assert data.read_bytes() == encode_facts(facts)
    with pytest.raises(OutputExists, match=r"report\.html"):
        write_report(facts, tmp_path / "out")
    page.unlink()
    with pytest.raises(OutputExists, match=r"report\.json"):
        write_report(facts, tmp_path / "out")
    assert not page.exists()
    write_report(make_facts("age"), tmp_path / "out", force=True)
    assert decode_facts(data.read_bytes()) == make_facts("age")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="file"):
        write_report(make_facts("age"), tmp_path / "file" / "out")


def test_one_attribute_has_no_pairs() -> None:
    text = text_of(render_report(make_facts("age")))
    assert "There is no pair to compare" in text
    assert "heatmap" not in text


def test_forty_attributes_stay_below_a_megabyte() -> None:
    facts = make_facts(*(f"attribute {i}" for i in range(40)))
    page = render_report(facts)
    assert len(page.encode()) < 1_000_000
    assert page.count('<article class="card">') == 40
    assert page.count('class="q') >= 2 * 780
    assert text_of(page).count("Worst") == 0
    assert f"The {WORST_PAIRS} worst pairs" in page


def test_the_worst_pairs_stand_first() -> None:
    text = text_of(render_report(make_facts(*"abcdefgh")))
    rows = [f"{left} {report_numbers.TIMES} h" for left in "gfe"]
    places = [text.rindex(row) for row in rows]
    assert places == sorted(places)


def test_a_long_list_keeps_its_heaviest_categories() -> None:
    schema = parse_schema(
        {
            "name": "t",
            "attributes": [
                {
                    "name": "place",
                    "kind": "categorical",
                    "categories": [f"p{i}" for i in range(100)],
                    "missing": True,
                }
            ],
        }
    )
    shares = np.zeros(102)
    shares[[3, 50, 77]] = [0.2, 0.3, 0.4]
    shares[101] = 0.1
    facts = attribute_facts(
        schema.coded[0], reference=shares, synthetic=shares, value=0.0, ceiling=0.0
    )
    assert len(facts.labels) == MAX_ROWS + 2
    by_label = dict(zip(facts.labels, facts.reference, strict=True))
    assert (by_label["p3"], by_label["p50"], by_label["p77"]) == (0.2, 0.3, 0.4)
    assert by_label["[missing]"] == 0.1
    assert by_label[f"[{101 - MAX_ROWS} more]"] == 0.0
    assert sum(facts.reference) == pytest.approx(1.0)


def test_bins_merge_with_their_neighbours_and_keep_their_edges() -> None:
    schema = parse_schema(
        {
            "name": "t",
            "attributes": [
                {
                    "name": "income",
                    "kind": "integer",
                    "minimum": 0,
                    "maximum": 255,
                    "missing": True,
                    "bins": {"kind": "width", "count": 256},
                }
            ],
        }
    )
    shares = np.full(257, 1 / 257)
    facts = attribute_facts(
        schema.coded[0], reference=shares, synthetic=shares, value=0.0, ceiling=0.0
    )
    assert facts.layout is Layout.BINS
    assert (facts.body, len(facts.labels)) == (MAX_BINS, MAX_BINS + 1)
    assert facts.labels[0] == "0 \u2013 7"
    assert facts.labels[-1] == "[missing]"
    assert (facts.edges[0], facts.edges[1], facts.edges[-1]) == ("0", "8", "255")
    assert facts.reference[0] == pytest.approx(8 / 257, rel=1e-5)


def test_a_label_is_cut_and_a_number_is_never_negative_zero() -> None:
    facts = make_facts("age")
    score = facts.scores[0].model_copy(update={"value": -0.0})
    assert str(Score.model_validate(score.model_dump()).value) == "0.0"
    silo = SiloFacts(name="x" * 5000, rho=0, epsilon=0)
    assert len(silo.name) == MAX_LABEL


@pytest.mark.parametrize("mode", list(Mode))
def test_heat_steps_rise_with_the_value(mode: Mode) -> None:
    assert heat_step(0.0, mode) == 0
    assert [heat_step(s, mode) for s in STEPS[mode]] == list(range(1, 9))


def test_a_ruler_puts_the_better_score_to_the_right() -> None:
    def place(value: float, *, name: ScoreName, floor: float, ceiling: float) -> float:
        score = (
            make_facts("age")
            .scores[0]
            .model_copy(update={"name": name, "value": value, "floor": floor, "ceiling": ceiling})
        )
        found = re.search(r'<circle cx="([\d.]+)"', draw_ruler(score, 300))
        assert found is not None
        return float(found.group(1))

    distance = {"name": ScoreName.MARGINAL_DISTANCE, "floor": 0.1, "ceiling": 0.02}
    shapes = {"name": ScoreName.COLUMN_SHAPES, "floor": 0.9, "ceiling": 0.99}
    assert place(0.03, **distance) > place(0.09, **distance)  # type: ignore[arg-type]
    assert place(0.98, **shapes) > place(0.92, **shapes)  # type: ignore[arg-type]
    assert 0 < place(5.0, **distance) < 300  # type: ignore[arg-type]


def test_svg_escapes_text_and_attributes() -> None:
    drawn = picture(element("text", "<a&'\">", x=1), width=1, height=2, label='"><script>')
    assert "<script" not in drawn
    assert "&lt;a&amp;" in drawn


def test_text_is_fitted_by_cells() -> None:
    assert fit("abcdef", 6) == "abcdef"
    assert fit("abcdefg", 6) == "abcde…"
    assert fit("日本語です", 6) == "日本…"
    assert fit("e\u0301" * 6, 6) == "e\u0301" * 6


def test_numbers_are_written_for_people() -> None:
    assert report_numbers.cost(0.97121) == "0.9713"
    assert report_numbers.cost(0.00001234001) == "0.0000124"
    assert report_numbers.small(2.5e-9).startswith("2.5")
    assert report_numbers.points(-0.0123) == report_numbers.MINUS + "1.2"
    assert report_numbers.points(0.0001) == "0.0"
    assert report_numbers.edge(52864.7) == "52,860"
    assert report_numbers.edge(-9000) == report_numbers.MINUS + "9000"
    assert report_numbers.edge(1e300) == "1e+300"
