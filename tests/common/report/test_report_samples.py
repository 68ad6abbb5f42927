"""Samples in the report: images as paths, texts escaped, nothing where there is neither."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from markupsafe import escape

from silosynth.common.report import sample_facts
from silosynth.common.report.facts import SampleFacts, SheetFacts, StripFacts, TextFacts
from silosynth.common.report.layout import render_report
from silosynth.common.report.samples import IMAGES_EACH, TEXTS_EACH, visible
from silosynth.common.report.sheet import draw_sheet
from silosynth.common.sampler.sampler import DrawBatch
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.values import Spread
from tests.common.report.test_report import make_facts

EVIL = "<script>alert(1)</script>"
PIXELS = ["p0", "p1"]


class Drawn:
    """A sampler whose rows are known."""

    def __init__(self, schema: Schema, text: str | None = None) -> None:
        self.schema, self.domain, self._text = schema, schema.domain, text
        self.spreads: dict[str, Spread] = {}

    def drawer(self) -> DrawBatch:
        def draw(*, rows: int, seed: int, batch: int) -> tuple[np.ndarray, ...]:
            columns = [np.arange(rows, dtype=np.uint8) % size for size in self.domain.shape]
            if self._text is None:
                return tuple(columns)
            data = self._text.encode().ljust(40, b"\0")[:40]
            codes = np.tile(np.frombuffer(data, np.uint8).astype(np.uint16), (rows, 1))
            codes[:, len(self._text.encode()) :] = 256
            return (*columns, codes)

        return draw


def made_schema(*, images: bool = False, text: bool = False, label: str | None = "kind") -> Schema:
    attributes: list[dict[str, Any]] = [
        {"name": "kind", "kind": "categorical", "categories": ["a", EVIL], "other": False}
    ]
    attributes += [{"name": p, "kind": "integer", "minimum": 0, "maximum": 4} for p in PIXELS]
    attributes += [{"name": "note", "kind": "text", "max_bytes": 40}] * text
    picture = {"name": "scan", "width": 2, "height": 1, "attributes": PIXELS}
    return parse_schema(
        {"name": "s", "label": label, "attributes": attributes, "images": [picture] * images}
    )


def test_a_schema_without_images_and_texts_has_no_samples() -> None:
    assert sample_facts(Drawn(made_schema()), seed=1) is None  # type: ignore[arg-type]  # enough


def test_images_stand_by_class_from_dark_to_light() -> None:
    facts = sample_facts(Drawn(made_schema(images=True)), seed=1)  # type: ignore[arg-type]  # enough
    assert facts is not None
    (sheet,) = facts.sheets
    assert sorted(strip.label for strip in sheet.strips) == sorted(["a", EVIL])
    assert all(len(strip.images) == IMAGES_EACH for strip in sheet.strips)
    values = {v for strip in sheet.strips for image in strip.images for v in image}
    assert values == {0.0, 0.25, 0.5, 0.75, 1.0}
    one = sample_facts(Drawn(made_schema(images=True, label=None)), seed=1)  # type: ignore[arg-type]  # enough
    assert one is not None
    assert [strip.label for strip in one.sheets[0].strips] == ["all"]


def test_texts_are_facts_and_hidden_characters_show() -> None:
    sampler = Drawn(made_schema(text=True), EVIL + "\u202e\x07")
    facts = sample_facts(sampler, seed=1)  # type: ignore[arg-type]  # enough
    assert facts is not None
    assert len(facts.texts) == 2 * TEXTS_EACH
    assert {text.text for text in facts.texts} == {EVIL + "��"}
    assert visible("grüße 你好") == "grüße 你好"


def test_a_sheet_draws_each_pixel_once_and_escapes_its_labels() -> None:
    strip = StripFacts(label=EVIL, images=((0.0, 0.5, 0.5, 1.0), (1.0, 1.0, 0.0, 0.0)))
    page = draw_sheet(SheetFacts(name=EVIL, width=2, height=2, strips=(strip,)))
    assert "<script" not in page
    assert str(escape(EVIL))[:12] in page
    assert sorted(re.findall(r'fill-opacity="([0-9.]+)"', page)) == ["0.5", "1"]
    full = re.search(r'd="([^"]*)" class="pixel" fill-opacity="1"', page)
    assert full is not None
    assert full[1].count("M") == 2


def test_an_image_of_another_size_is_no_fact() -> None:
    with pytest.raises(ValueError, match="width times height"):
        SheetFacts(name="x", width=2, height=2, strips=(StripFacts(label="a", images=((0.0,),)),))


def test_the_page_shows_samples_as_text_and_has_no_such_section_without() -> None:
    text = TextFacts(attribute="note", label="a", text=EVIL)
    strip = StripFacts(label=EVIL, images=((1.0,),))
    sheet = SheetFacts(name="scan", width=1, height=1, strips=(strip,))
    plain = make_facts("age")
    page = render_report(
        plain.model_copy(update={"samples": SampleFacts(sheets=(sheet,), texts=(text,))})
    )
    assert "<script" not in page
    assert page.count(str(escape(EVIL))) == 1
    assert 'href="#samples"' in page
    assert 'href="#samples"' not in render_report(plain)
