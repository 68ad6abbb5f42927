"""Pictures are lines of greys; rows vote for the nearest by whole numbers, one a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.digest import digest_of
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator import (
    GREYS,
    Alphabet,
    VoteSettings,
    alike_pictures,
    check_candidates,
    check_votes,
    pictures_of,
    sum_votes,
)
from silosynth.common.generator.voting.pictures import read_pictures
from silosynth.common.schema import Schema, parse_schema

WIDTH, HEIGHT, LEVELS = 4, 3, 5
PIXELS = tuple(f"p{i:02d}" for i in range(WIDTH * HEIGHT))
SETTINGS = VoteSettings(
    candidates=4,
    max_bytes=2 * len(PIXELS),
    alphabet=Alphabet.GREYS,
    embedding=GREYS,
    label="kind",
)
LEFT, RIGHT, DOWN = ("ff000000" * 3, "000000ff" * 3, "00" * 8 + "ff" * 4)
CANDIDATES = (LEFT, RIGHT, DOWN)


def described(**changes: Any) -> Schema:
    pixel = {"kind": "integer", "minimum": 0, "maximum": LEVELS - 1, "source": "public"}
    kind = {"name": "kind", "kind": "categorical", "categories": ["a", "b"], "other": False}
    image = {"name": "shown", "width": WIDTH, "height": HEIGHT, "attributes": PIXELS}
    attributes = [*({"name": n} | pixel for n in PIXELS), kind | {"source": "public"}]
    data = {"name": "shapes", "label": "kind", "attributes": attributes, "images": [image]}
    return parse_schema(data | changes)


def columns(rows: Sequence[Sequence[int]], kinds: Sequence[int]) -> list[np.ndarray]:
    """Return rows of pixels' codes, and their kinds, as columns."""
    codes = np.array(rows, dtype=np.uint8).reshape(len(kinds), len(PIXELS))
    return [*codes.T, np.array(kinds, dtype=np.uint8)]


def votes(rows: Sequence[Sequence[int]], kinds: Sequence[int]) -> np.ndarray:
    pictures = pictures_of(described(), label="kind")
    found = sum_votes(pictures, columns(rows, kinds), candidates=CANDIDATES)
    return found.reshape(len(CANDIDATES), 2)


def oracle_shape(greys: Sequence[int]) -> list[int]:
    """Return pixels with their neighbours, times pixels, less all of them, by Python alone."""
    near = [
        sum(
            greys[min(max(r, 0), HEIGHT - 1) * WIDTH + min(max(c, 0), WIDTH - 1)]
            for r in range(row - 1, row + 2)
            for c in range(column - 1, column + 2)
        )
        for row in range(HEIGHT)
        for column in range(WIDTH)
    ]
    return [n * len(near) - sum(near) for n in near]


def oracle_nearest(codes: Sequence[int]) -> int:
    """Return the nearest candidate of one picture by Python's integers."""
    own, scores = oracle_shape([round(255 * c / (LEVELS - 1)) for c in codes]), []
    for candidate in CANDIDATES:
        theirs = oracle_shape(list(bytes.fromhex(candidate)))
        root = max(math.isqrt(sum(t * t for t in theirs)), 1)
        scores.append(sum(o * ((t << 20) // root) for o, t in zip(own, theirs, strict=True)))
    best = max(scores)
    return scores.index(best) if best > 0 else -1


ROW = st.lists(st.integers(0, LEVELS - 1), min_size=len(PIXELS), max_size=len(PIXELS))


@settings(max_examples=25)
@given(rows=st.lists(ROW, min_size=1, max_size=5), data=st.data())
def test_a_row_votes_once_for_what_an_oracle_of_whole_numbers_finds(
    rows: list[list[int]], data: st.DataObject
) -> None:
    kinds = data.draw(st.lists(st.integers(0, 1), min_size=len(rows), max_size=len(rows)))
    found, expected = votes(rows, kinds), np.zeros((len(CANDIDATES), 2), dtype=np.int64)
    for row, kind in zip(rows, kinds, strict=True):
        if (place := oracle_nearest(row)) >= 0:
            expected[place, kind] += 1
    assert found.dtype == np.int64
    assert found.tolist() == expected.tolist()
    for place in range(len(rows)):
        rest = [r for i, r in enumerate(rows) if i != place]
        moved = found - (votes(rest, kinds[:place] + kinds[place + 1 :]) if rest else 0)
        assert (moved >= 0).all()
        assert int((moved**2).sum()) <= 1


def test_a_picture_of_one_grey_votes_for_none() -> None:
    assert votes([[0] * 12, [4] * 12, [4, 0, 0, 0] * 3], [0, 1, 1]).sum() == 1


def test_the_embedding_has_the_bytes_that_its_digest_names() -> None:
    """Whoever changes a number of it gives it another version, and so another digest."""
    rows = np.random.default_rng(1).integers(0, LEVELS, (200, len(PIXELS))).tolist()
    found = digest_of(votes(rows, [0] * 200).astype("<i8").tobytes())
    assert (GREYS, found) == (
        "sha256:2848ddee143413a0e6cbdaf1604231034ed190d779bb7a554e3dfa6c97541321",
        "sha256:61f19bb52d52985623cddfe73408f4bd7190f03a3bfa215a2cf8d55b16c2ef67",
    )


def test_lines_and_codes_of_pixels_go_over_into_one_another() -> None:
    pictures = pictures_of(described(), label="kind")
    codes = np.arange(12) % LEVELS
    greys = pictures.greys(columns([codes.tolist()], [0]))
    line = greys.astype(np.uint8).tobytes().hex()
    assert read_pictures([line]).tolist() == greys.tolist()
    assert pictures.codes([line]).tolist() == [codes.tolist()]
    assert (greys.min(), greys.max()) == (0, 255)


def test_how_alike_pictures_are() -> None:
    alike = alike_pictures((LEFT, LEFT.replace("ff", "80"), RIGHT), width=WIDTH)
    assert alike[0, 1] == pytest.approx(1.0, abs=1e-3)
    assert alike[0, 2] == 0
    assert (alike == alike.T).all()


@pytest.mark.parametrize(
    ("candidates", "words"),
    [
        (("00" * 11,), "22 digits; a picture of the plan has 24, 2 a pixel"),
        (("00" * 13,), "26 digits"),
        (("0G" * 12,), r"U\+0047, which is not of the alphabet greys"),
        (("FF" * 12,), r"U\+0046, which is not"),
        (("00" * 12, "00" * 12), "stands twice"),
        ((" " * 24,), "blank"),
    ],
)
def test_what_is_no_picture_of_a_plan_is_refused(candidates: tuple[str, ...], words: str) -> None:
    with pytest.raises((InvalidPlan, CapExceeded), match=words):
        check_candidates(candidates, settings=SETTINGS)


def test_rows_that_are_no_pictures_with_a_label_are_told_in_one_line() -> None:
    check_votes(SETTINGS, described())
    number = {"name": "kind", "kind": "integer", "minimum": 0, "maximum": 1, "source": "public"}
    pixels = [a.model_dump(mode="json") for a in described().attributes[:-1]]
    more = number | {"name": "more"}
    kind = described().attributes[-1].model_dump(mode="json")
    for other in (
        described(attributes=[*pixels, number]),
        described(attributes=[*pixels, kind, more]),
        described(images=[]),
    ):
        with pytest.raises(InvalidPlan, match="one label that is no number, for one image"):
            check_votes(SETTINGS, other)
    fine = [p | {"maximum": 65_535, "bins": {"kind": "width", "count": 4096}} for p in pixels]
    with pytest.raises(InvalidPlan, match="4096 codes, and a candidate at most 256 greys"):
        check_votes(SETTINGS, described(attributes=[*fine, kind]))
    wrong = SETTINGS.model_copy(update={"max_bytes": 26})
    with pytest.raises(InvalidPlan, match="26 digits, and a picture of the schema 24"):
        check_votes(wrong, described())
    with pytest.raises(ValueError, match="pictures, and no texts, are near by"):
        VoteSettings(candidates=4, max_bytes=24, embedding=GREYS, label="kind")
