"""Draw rows from a run's sampler for whoever looks at its page. It costs no privacy."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from silosynth.common.codec import parse_conditions
from silosynth.common.errors import InvalidArgument
from silosynth.common.sampler import condition_on, load_sampler, write_rows

MOST_ROWS = 100_000
_MOST_SEED = 2**31
_ENDINGS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
_DRAWING = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows are drawn, and how they are written."""

    rows: int
    seed: int
    ending: str
    where: Mapping[str, str]

    @property
    def media_type(self) -> str:
        """Return what a browser is told that it gets."""
        return _ENDINGS[self.ending]


def read_wanted(fields: Mapping[str, str]) -> Wanted:
    """Return what a form asks for; raise InvalidArgument for what cannot be drawn."""
    ending = fields.get("format", "csv")
    if ending not in _ENDINGS:
        raise InvalidArgument("rows are written as csv or parquet")
    lines = (line.strip() for line in fields.get("where", "").splitlines())
    return Wanted(
        rows=_number(fields.get("rows", ""), "rows", most=MOST_ROWS),
        seed=_number(fields.get("seed", "1"), "seed", most=_MOST_SEED),
        ending=ending,
        where=parse_conditions(line for line in lines if line),
    )


def draw_file(sampler: Path, wanted: Wanted) -> bytes:
    """Return a file of rows; one is drawn at a time.

    Raises InvalidSampler for a file that holds none, InvalidArgument for a condition that no row
    of it can meet.
    """
    with _DRAWING, tempfile.TemporaryDirectory(prefix="silosynth-page-") as folder:
        path = Path(folder) / f"rows.{wanted.ending}"
        drawn = condition_on(load_sampler(sampler), wanted.where)
        write_rows(drawn, rows=wanted.rows, seed=wanted.seed, path=path, threads=1)
        return path.read_bytes()


def _number(text: str, name: str, *, most: int) -> int:
    """Return a whole number of a form."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most):
        raise InvalidArgument(
            f"{name} is a whole number up to {most:,}",
            hint="draw more with 'silosynth sample'" if name == "rows" else None,
        )
    return int(text)
