"""A folder of replicates beside a sampler, and the interval that they give an estimate.

``replicates.json`` holds the version, the digest of the sampler's file, and the digest of each
replicate's, ``001.sampler`` and on. Each file is a sampler like any other and is checked as one.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from silosynth.common.digest import digest_of
from silosynth.common.errors import InvalidArgument, InvalidSampler, OutputExists
from silosynth.common.files import read_named
from silosynth.common.sampler import (
    Sampler,
    TableSampler,
    load_sampler,
    save_sampler,
)

FORMAT = "silosynth-replicates"
VERSION = 1
FEWEST, MOST = 2, 200
_INDEX = "replicates.json"
_MOST_INDEX_BYTES = 100_000


Modelled = Sampler | TableSampler
"""What may have replicates: a tree, or a mixture in tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated:
    """A sampler and what the run might have come to instead."""

    sampler: Modelled
    others: tuple[Modelled, ...]


def replicates_beside(sampler: Path) -> Path:
    """Return the folder where a sampler's replicates lie."""
    return sampler.with_suffix(".replicates")


def has_replicates(sampler: Path) -> bool:
    """Say whether replicates lie beside a sampler's file."""
    return replicates_beside(sampler).is_dir()


def save_replicates(sampler: Path, others: Iterable[Modelled], *, force: bool = False) -> Path:
    """Write replicates beside the file of their sampler, all or none; return the folder.

    Raises OutputExists where there are some already, unless ``force``.
    """
    folder = replicates_beside(sampler)
    if folder.exists() and not force:
        raise OutputExists(f"{folder} exists already", hint="add --force to make them anew")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        digests = []
        for number, other in enumerate(others, start=1):
            path = part / f"{number:03d}.sampler"
            save_sampler(other, path)
            digests.append(digest_of(path.read_bytes()))
        index = {
            "format": FORMAT,
            "version": VERSION,
            "sampler": digest_of(sampler.read_bytes()),
            "replicates": digests,
        }
        (part / _INDEX).write_text(json.dumps(index, indent=1) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def load_replicates(sampler: Path) -> Replicated:
    """Read a sampler and its replicates.

    Raises InvalidArgument where it has none, InvalidSampler where they are of another sampler, not
    whole, or changed.
    """
    loaded = load_sampler(sampler)
    folder = replicates_beside(sampler)
    if not folder.is_dir():
        raise InvalidArgument(
            f"{sampler} has no replicates, so nobody can say how far off an estimate is",
            hint="make them where the run is: silosynth replicate RUN",
        )
    digests = _read_index(folder / _INDEX, of=sampler)
    paths = [folder / f"{number:03d}.sampler" for number in range(1, len(digests) + 1)]
    others = [load_sampler(path) for path in paths]
    for path, digest, other in zip(paths, digests, others, strict=True):
        if digest_of(path.read_bytes()) != digest:
            raise InvalidSampler(f"{path}: was changed", hint="make the replicates again")
        if other.schema.digest != loaded.schema.digest or not isinstance(other, Modelled):
            raise InvalidSampler(f"{path}: is of another schema than {sampler}")
    if not isinstance(loaded, Modelled):
        raise InvalidSampler(f"{sampler}: a generator has no replicates")
    return Replicated(sampler=loaded, others=tuple(o for o in others if isinstance(o, Modelled)))


def _read_index(path: Path, *, of: Path) -> list[str]:
    """Return the digests of the replicates of one sampler."""
    try:
        index = json.loads(read_named(path, most=_MOST_INDEX_BYTES))
        found = (index["format"], index["version"])
        digests = [str(d) for d in index["replicates"]]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise InvalidSampler(f"{path}: is damaged", hint="make the replicates again") from err
    if found != (FORMAT, VERSION):
        raise InvalidSampler(f"{path}: was written by another version of silosynth")
    if index.get("sampler") != digest_of(of.read_bytes()):
        raise InvalidSampler(
            f"{path.parent}: these are the replicates of another sampler than {of}",
            hint="make them again: silosynth replicate RUN --force",
        )
    if not FEWEST <= len(digests) <= MOST:
        raise InvalidSampler(f"{path}: {len(digests)} replicates are not {FEWEST} to {MOST}")
    return digests


LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What is estimated of a group, its standard error, and the two ends of its interval.

    ``group`` is what the rows have in common, empty for all; ``against`` the label that a label is
    held against, empty for all else. An end may be infinite and the estimate NaN, where rows or
    replicates do not have what is estimated.
    """

    name: str
    group: str
    estimate: float
    error: float
    low: float
    high: float
    against: str = ""


def check_level(level: float) -> None:
    """Raise InvalidArgument unless intervals can be meant to cover so often."""
    if not 0.5 <= level < 1:
        raise InvalidArgument(f"a level of {level:g} is not from 0.5 to below 1", hint="use 0.95")


def interval_of(
    estimate: float,
    others: Sequence[float],
    *,
    name: str,
    group: str = "",
    level: float = LEVEL,
    within: tuple[float, float] = (-math.inf, math.inf),
    missed: float = 0.0,
    least: float = 0.0,
) -> Interval:
    """Return the interval around an estimate whose replicates came to ``others``.

    How far replicates lie from the estimate, squared and added up over M - 1: that holds the noise,
    that rows are a sample of people, and how far the fit pulls what it is fitted to, which differs
    by as much again between people and model. Replicates that lie about the estimate come to the
    second part of Rubin's rule (1987), (1 + 1/M) times the variance between them, with M - 1
    degrees of freedom; the rows drawn add nothing that could be named, for as many are drawn as
    one likes.

    Args: within: what the estimate can be at all; missed: a variance that no replicate has; least:
        one that replicates have at least.
    """
    check_level(level)
    known = all(map(math.isfinite, (estimate, *others)))
    if not known or len(others) < 2:
        low, high = within
        return Interval(
            name=name, group=group, estimate=estimate, error=math.nan, low=low, high=high
        )
    count = len(others)
    apart = np.square(np.subtract(others, estimate))
    error = math.sqrt(max(float(apart.sum()) / (count - 1), least) + missed)
    side = float(stdtrit(count - 1, (1 + level) / 2)) * error
    return Interval(
        name=name,
        group=group,
        estimate=estimate,
        error=error,
        low=max(estimate - side, within[0]),
        high=min(estimate + side, within[1]),
    )
