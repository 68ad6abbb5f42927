"""Laws around central images: what was put in comes back, and noise alone makes no directions."""

from __future__ import annotations

import numpy as np
import pytest

from silosynth.common.generator import (
    CentralMap,
    central_map,
    central_settings,
    sum_around,
    sum_images,
)
from silosynth.common.schema import parse_schema
from silosynth.server.mixture import fit_central, fit_laws, next_step, read_centres

SIDE, LEVELS, ROWS = 4, 9, 4000


def made_map(side: int = 1) -> CentralMap:
    pixel = {"kind": "integer", "minimum": 0, "maximum": LEVELS - 1, "source": "public"}
    names = [f"p{i:02d}" for i in range(SIDE**2)]
    kind = {"name": "kind", "kind": "categorical", "categories": ["a", "b", "nobody"]}
    schema = parse_schema(
        {
            "name": "made",
            "label": "kind",
            "attributes": [
                kind | {"other": False, "source": "public"},
                *({"name": n} | pixel for n in names),
            ],
            "images": [{"name": "i", "width": SIDE, "height": SIDE, "attributes": names}],
        }
    )
    return central_map(central_settings(schema, side=side), schema=schema)


def made_rows() -> list[np.ndarray]:
    """Return pictures of two classes, of which the rows of each move along one direction."""
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 2, ROWS)
    left = np.arange(SIDE**2) % SIDE < SIDE // 2
    middle = np.where(left, 5.0, 3.0)[None, :] + kind[:, None] * np.where(left, -2.0, 2.0)
    moved = rng.normal(0, 1.2, ROWS)[:, None] * np.where(np.arange(SIDE**2) < 8, 1, -1)
    pixels = np.clip(np.rint(middle + moved + rng.normal(0, 0.5, middle.shape)), 0, LEVELS - 1)
    return [kind, *pixels.T.astype(np.int64)]


@pytest.mark.parametrize("side", [1, 2])
def test_classes_come_back_with_their_middle_and_the_direction_they_move_in(side: int) -> None:
    central, rows = made_map(side), made_rows()
    counts = np.bincount(rows[0], minlength=3).astype(float)
    rng = np.random.default_rng(2)
    pictures = sum_images(central, rows)
    noisy = pictures + rng.normal(0, 300.0, len(pictures))
    means = read_centres(noisy, counts=counts, central=central)
    assert not means[2].any()
    step = next_step(means, counts=counts, central=central)
    around = sum_around(central, rows, step=step)
    deviation = 3e5
    laws = fit_laws(
        around + rng.normal(0, deviation, len(around)),
        deviation=deviation,
        counts=counts,
        central=central,
        step=step,
    )
    fitted = fit_central(laws, [], central=central)
    assert fitted.weights.sum() == pytest.approx(1.0)
    classes = fitted.weights @ fitted.codes[:, :3]
    assert classes == pytest.approx(counts / ROWS, abs=1e-9)
    levels = fitted.codes[:, 3:].reshape(-1, SIDE**2, LEVELS) @ np.arange(LEVELS)
    true = np.stack(rows[1:], axis=1)
    for kind in range(2):
        own = fitted.codes[:, kind] > 0.5
        drawn = levels[own] - levels[own].mean(axis=0)
        seen = true[rows[0] == kind]
        assert np.abs(levels[own].mean(axis=0) - seen.mean(axis=0)).max() < 0.45
        spread = np.cov(drawn.T)[0]
        assert (np.sign(spread) == np.where(np.arange(SIDE**2) < 8, 1, -1)).all()


def test_noise_alone_makes_no_directions() -> None:
    central = made_map()
    counts = np.full(3, 1000.0)
    step = next_step(np.zeros((3, SIDE**2)), counts=counts, central=central)
    cells = central.classes * (SIDE**2 + SIDE**2 * (SIDE**2 + 1) // 2)
    rng = np.random.default_rng(3)
    deviation = 1e7
    laws = fit_laws(
        rng.normal(0, deviation, cells),
        deviation=deviation * 2,
        counts=counts,
        central=central,
        step=step,
    )
    assert all(loading.shape[1] == 0 for loading in laws.loadings)
