"""What changed between releases of one table: what the page shows, as data."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Literal

from silosynth.common.report import Count, Facts, Label, Number


class NoiseFrom(StrEnum):
    """How the noise of a release is known."""

    REPLICATES = "replicates"
    STATED = "stated"
    UNKNOWN = "unknown"


class Word(StrEnum):
    """What can be said of one change."""

    MOVED = "moved"
    WITHIN = "within noise"
    UNKNOWN = "noise not known"


class ReleaseFacts(Facts):
    """One release; ``epsilon`` is what its certificate states, if it states any."""

    name: Label
    sampler: Label
    plan_digest: Label
    rows: Count
    rows_error: Number | None
    epsilon: Number | None
    noise: NoiseFrom


class CellFacts(Facts):
    """A share of the rows in both releases, and the standard error of their difference."""

    label: Label
    before: Number
    after: Number
    error: Number | None


class MarginalFacts(Facts):
    """One column or pair. ``by_noise`` is the distance to be expected where nothing changed."""

    columns: tuple[Label, ...]
    distance: Number
    by_noise: Number | None
    word: Word
    cells: tuple[CellFacts, ...]


class StepFacts(Facts):
    """From one release to a later one, by their places; marginals by falling distance."""

    before: Count
    after: Count
    columns: tuple[MarginalFacts, ...]
    pairs: tuple[MarginalFacts, ...]


class CourseFacts(Facts):
    """The share of one cell in every release, and how far off each is by one standard error."""

    column: Label
    label: Label
    shares: tuple[Number, ...]
    errors: tuple[Number | None, ...]


class ChangeFacts(Facts):
    """Everything that the page shows. It is public: releases alone were read.

    ``alarm`` is the chance that anything at all of a step is called moved where nothing is.
    """

    version: Literal[1] = 1
    schema_name: Label
    schema_digest: Label
    rows_drawn: Count
    seed: Count
    alarm: Number
    releases: tuple[ReleaseFacts, ...]
    steps: tuple[StepFacts, ...]
    courses: tuple[CourseFacts, ...] = ()


def encode_changes(facts: ChangeFacts) -> bytes:
    """Return the bytes of ``changes.json``: the same facts give the same bytes."""
    data = facts.model_dump(mode="json")
    return (json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()
