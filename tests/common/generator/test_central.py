"""Central images: a row adds at most the stated norm, whatever is asked and beside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator import (
    CROSS_WEIGHT,
    LENGTH,
    MOST_PIXELS,
    SCORE,
    SQUARE_WEIGHT,
    SUM_WEIGHT,
    CentralMap,
    CentralSettings,
    CentralStep,
    central_cells,
    central_map,
    central_settings,
    check_central,
    pieces,
    sum_around,
    sum_images,
)
from silosynth.common.schema import Schema, parse_schema

PIXELS = ("p0", "p1", "p2", "p3", "p4", "p5")


def made_schema(
    width: int = 3, height: int = 2, *, label: bool = True, images: bool = True
) -> Schema:
    """Return pictures of five levels, a label before them and a number behind."""
    pixel = {"kind": "integer", "minimum": 0, "maximum": 4, "source": "public"}
    names = [f"p{i}" for i in range(width * height)]
    kind = {"name": "kind", "kind": "categorical", "categories": ["x", "y"], "other": False}
    first = [kind | {"source": "public"}] if label else []
    image = {"name": "shown", "width": width, "height": height, "attributes": names}
    return parse_schema(
        {
            "name": "made",
            "label": "kind" if label else None,
            "attributes": [*first, *({"name": n} | pixel for n in names), {"name": "age"} | pixel],
            "images": [image] if images else [],
        }
    )


def made_map(side: int = 1, **changes: Any) -> tuple[CentralSettings, CentralMap]:
    schema = made_schema(**changes)
    asked = central_settings(schema, side=side)
    return asked, central_map(asked, schema=schema)


def made_rows(central: CentralMap, rows: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, size, rows).astype(np.uint8) for size in central.domain.shape]


def made_step(central: CentralMap, *, radius: int = 300) -> CentralStep:
    rng = np.random.default_rng(2)
    shape = (central.classes, len(central.pixels))
    centres = rng.integers(-SCORE, SCORE + 1, shape).tolist()
    return CentralStep(centres=tuple(map(tuple, centres)), radius=radius)


def bounded(values: list[int], radius2: int) -> list[int]:
    most = LENGTH - math.sqrt(len(values)) / 2 - 1
    scale = most / math.sqrt(max(sum(v * v for v in values), radius2))
    return [round(v * scale) for v in values]


def slow(
    central: CentralMap, columns: list[np.ndarray], step: CentralStep | None, *, side: int
) -> np.ndarray:
    """Return the sum as the module's docstring has it, row by row in Python's own integers."""
    across = -(-3 // side)
    total: list[list[int]] = [[] for _ in range(central.classes)]
    for row in zip(*(c.tolist() for c in columns), strict=True):
        group = 0 if central.label is None else row[central.label]
        grey = [-SCORE + row[i] * SCORE // 2 for i in central.pixels]
        if step is None:
            mine = bounded(grey, 6 * SCORE**2 * 3 // 4)
        else:
            sums = [0] * (across * -(-2 // side))
            for i, (pixel, centre) in enumerate(zip(grey, step.centres[group], strict=True)):
                sums[i // 3 // side * across + i % 3 // side] += pixel - centre
            whole = bounded(sums, step.radius**2)
            mine = [SUM_WEIGHT * w for w in whole]
            for i, left in enumerate(whole):
                mine += [
                    (SQUARE_WEIGHT if i == j else CROSS_WEIGHT) * left * whole[j]
                    for j in range(i, len(whole))
                ]
        before = total[group] or [0] * len(mine)
        total[group] = [a + b for a, b in zip(before, mine, strict=True)]
    return np.array(total).ravel()


@pytest.mark.parametrize("label", [True, False])
@pytest.mark.parametrize("side", [1, 2])
def test_sums_are_of_pictures_and_of_how_they_differ(
    side: int, label: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, central = made_map(side, label=label)
    rows, step = made_rows(central), made_step(central)
    monkeypatch.setattr(pieces, "_MOST_AT_ONCE", 50)
    pictures, around = sum_images(central, rows), sum_around(central, rows, step=step)
    assert np.array_equal(pictures, slow(central, rows, None, side=side))
    assert np.array_equal(around, slow(central, rows, step, side=side))
    domain = central.domain
    names = domain.attributes
    assert len(pictures) == central_cells(asked, clique=names, domain=domain, step=None)
    assert len(around) == central_cells(asked, clique=names, domain=domain, step=step)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_centres_radius_or_side_let_a_row_move_a_sum_beyond_the_bound(
    data: st.DataObject,
) -> None:
    asked, central = made_map(
        data.draw(st.integers(1, 3)),
        width=data.draw(st.integers(1, 6)),
        height=data.draw(st.integers(1, 6)),
    )
    pixel = st.sampled_from([-SCORE, 0, SCORE]) | st.integers(-SCORE, SCORE)
    picture = st.lists(pixel, min_size=asked.pixels, max_size=asked.pixels).map(tuple)
    step = CentralStep(
        centres=(data.draw(picture), data.draw(picture)),
        radius=data.draw(st.integers(1, 2**20) | st.just(1)),
    )
    rows = [np.array([0, size - 1], dtype=np.uint8) for size in central.domain.shape]
    for row in range(2):
        alone = [c[row : row + 1] for c in rows]
        for found, bound in (
            (sum_images(central, alone), asked.bounds["central"]),
            (sum_around(central, alone, step=step), asked.bounds["around"]),
        ):
            assert sum(int(v) ** 2 for v in found) <= bound**2
    assert asked.bounds["central"] == LENGTH
    longest = math.sqrt(2) * SQUARE_WEIGHT * LENGTH**2
    assert asked.bounds["around"] - 1 < longest <= asked.bounds["around"]


def test_a_row_adds_its_own_integers_whatever_stands_beside_it() -> None:
    _, central = made_map(2)
    rows, step = made_rows(central), made_step(central)
    rest, alone = [c[1:] for c in rows], [c[:1] for c in rows]
    assert np.array_equal(
        sum_images(central, rows) - sum_images(central, rest), sum_images(central, alone)
    )
    added = sum_around(central, alone, step=step)
    whole, less = (sum_around(central, part, step=step) for part in (rows, rest))
    assert np.array_equal(whole - less, added)
    lines = added.reshape(2, -1).any(axis=1)
    assert lines.tolist() == [bool(code == rows[0][0]) for code in range(2)]


def test_black_pictures_are_as_long_as_white_ones_and_grey_ones_keep_their_length() -> None:
    _, central = made_map()
    black, grey, white = (
        [np.full(1, code, np.uint8) for _ in central.domain.shape] for code in (0, 2, 4)
    )
    for rows in (black, white):
        rows[0][:] = 0
    grey[0][:] = 0
    ends = sum_images(central, black), sum_images(central, white)
    assert np.array_equal(ends[0], -ends[1])
    assert math.hypot(*ends[0]) == pytest.approx(LENGTH, rel=0.02)
    assert not sum_images(central, grey).any()


def test_what_does_not_fit_the_schema_is_refused() -> None:
    asked, central = made_map()
    domain = central.domain
    fits = made_step(central)
    wrong: dict[str, dict[str, Any]] = {
        "1 central images for 2 classes": {"centres": fits.centres[:1]},
        "has 5 pixels; the plan has 6": {"centres": (fits.centres[0], fits.centres[1][1:])},
    }
    for words, change in wrong.items():
        step = fits.model_copy(update=change)
        with pytest.raises(InvalidPlan, match=words):
            central_cells(asked, clique=domain.attributes, domain=domain, step=step)
    with pytest.raises(InvalidPlan, match="in the schema's order"):
        central_cells(asked, clique=domain.attributes[::-1], domain=domain, step=None)
    others: list[dict[str, Any]] = [{"pixels": 5}, {"blocks": 7}, {"label": None}, {"side": 2}]
    for change in others:
        with pytest.raises(InvalidPlan, match="make the plan again"):
            check_central(asked.model_copy(update=change), made_schema())


def test_a_schema_without_images_with_too_many_pixels_or_nothing_else_is_refused() -> None:
    with pytest.raises(InvalidPlan, match="no images"):
        central_settings(made_schema(images=False), side=1)
    with pytest.raises(CapExceeded, match=f"at most {MOST_PIXELS}"):
        central_settings(made_schema(33, 32), side=1)
    bare = made_schema(label=False).model_dump(mode="json")
    bare["attributes"] = [a for a in bare["attributes"] if a["name"] != "age"]
    with pytest.raises(InvalidPlan, match="nothing counts the rows"):
        central_settings(parse_schema(bare), side=1)
