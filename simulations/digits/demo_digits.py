"""The demonstration with images: offices that share what handwritten digits look like.

The digits are the 1,797 that scikit-learn carries: the test part of the UCI set "Optical
Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998, CC BY 4.0), 8 x 8 pixels of 17 levels
by 13 writers. Three offices hold three quarters of them; nobody holds the rest, which tell whether
the synthetic ones are of use.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa

from silosynth.common.errors import RunFailed
from silosynth.common.plan import Plan, load_plan
from silosynth.common.sampler import DrawsRows
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.planning import new_plan

SIDE, LEVELS, CLASSES = 8, 17, 10
EPSILON, DELTA = 3.0, 1e-5
OFFICES = ("office-east", "office-north", "office-west")
PIXELS = tuple(f"p{row}{column}" for row in range(SIDE) for column in range(SIDE))
_HELD_BACK = 4
_NEEDED = {"sklearn": "scikit-learn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """What share of ``images`` real digits a classifier names right, by what it learnt from."""

    synthetic: float
    real: float
    images: int


def digits_schema() -> Schema:
    """Return labelled images of 8 x 8 pixels."""
    pixel = {"kind": "integer", "minimum": 0, "maximum": LEVELS - 1, "source": "public"}
    digit = {"kind": "categorical", "categories": list(range(CLASSES)), "other": False}
    return parse_schema(
        {
            "name": "digits",
            "description": "handwritten digits, 8 x 8 pixels, with the digit that was meant",
            "label": "digit",
            "attributes": [
                {"name": "digit", "source": "public"} | digit,
                *({"name": name} | pixel for name in PIXELS),
            ],
            "images": [{"name": "scan", "width": SIDE, "height": SIDE, "attributes": PIXELS}],
        }
    )


def require_digits() -> None:
    """Raise RunFailed, before anything is spent, unless what the demonstration needs is there."""
    missing = [name for module, name in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise RunFailed(
            f"the demonstration with digits needs {' and '.join(missing)}",
            hint="pip install 'silosynth[digits]'",
        )


def digits_silos() -> dict[str, pa.Table]:
    """Return three quarters of the digits, dealt out to the offices one by one."""
    table = _digits()
    places = np.flatnonzero(np.arange(len(table)) % _HELD_BACK)
    return {name: table.take(pa.array(places[i :: len(OFFICES)])) for i, name in enumerate(OFFICES)}


def digits_plan(directory: Path) -> Plan:
    """Return the plan that a run in ``directory`` began with, or a new one.

    The offices sum in secret, so that together they are as accurate as one.
    """
    path = directory / "plan.yaml"
    if path.is_file():
        return load_plan(path)
    return new_plan(
        digits_schema(),
        epsilon=EPSILON,
        delta=DELTA,
        silos=OFFICES,
        unit="image",
        trust="shared",
    )


def recognise(sampler: DrawsRows, *, seed: int) -> Recognised:
    """Ask a classifier that learnt from synthetic digits about those that no office holds."""
    # scikit-learn takes a second to import, and only this demonstration needs it.
    from sklearn.svm import SVC

    table, held = _digits(), pa.concat_tables(digits_silos().values())
    rest = table.take(pa.array(np.arange(0, len(table), _HELD_BACK)))
    made = draw(sampler, rows=len(held), seed=seed)
    synthetic, real = (float(SVC().fit(*_seen(t)).score(*_seen(rest))) for t in (made, held))
    return Recognised(synthetic=synthetic, real=real, images=len(rest))


def _digits() -> pa.Table:
    """Return scikit-learn's digits, columns as in the schema."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = found.data.astype(np.int64)
    columns = {name: pixels[:, i] for i, name in enumerate(PIXELS)}
    return pa.table({"digit": found.target.astype(np.int64)} | columns)


def _seen(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, pixels) float64, and (rows,) what digit each is."""
    pixels = np.stack([table[name].to_numpy() for name in PIXELS], axis=1).astype(np.float64)
    return pixels, np.array([int(digit) for digit in table["digit"].to_pylist()])
