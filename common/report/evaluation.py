"""The facts of an evaluation: fidelity on values, utility, privacy and reuse."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from silosynth.common.report.terms import Count, Facts, Label, Number


class Axis(StrEnum):
    """The four questions that are asked of a synthetic table."""

    FIDELITY = "fidelity"
    UTILITY = "utility"
    PRIVACY = "privacy"
    REUSE = "reuse"


class State(StrEnum):
    """What a lamp shows."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    UNKNOWN = "unknown"


class Better(StrEnum):
    """Which end of a measure is the good one."""

    LOW = "low"
    HIGH = "high"


class Lamp(Facts):
    """The answer to one of the four questions, in one sentence."""

    axis: Axis
    state: State
    sentence: str = Field(max_length=600)


class Measure(Facts):
    """One number with its floor (independent columns) and its ceiling (control or bootstrap).

    ``target`` names what it is about, where that is not the whole table; ``low`` and ``high``
    are the ends of a 95 % interval.
    """

    axis: Axis
    name: Label
    target: Label | None = None
    value: Number
    floor: Number | None = None
    ceiling: Number | None = None
    low: Number | None = None
    high: Number | None = None
    better: Better


class Side(Facts):
    """What one column holds in one table; numbers of a column that has none are null."""

    missing: Number
    zeros: Number | None = None
    ten_commonest: Number
    mean: Number | None = None
    spread: Number | None = None
    quantiles: tuple[Number, ...] = Field(default=(), max_length=5)
    form: Label


class ColumnFacts(Facts):
    """One column of values: ``shape`` is 1 where both tables hold the same values as often.

    ``form_off`` is the share of synthetic values that are spelled as no real one is.
    """

    name: Label
    kind: Label
    shape: Number
    ceiling: Number
    real: Side
    synthetic: Side
    form_off: Number
    dropped: Count = 0


class Dropped(Facts):
    """A category that real rows have and synthetic ones never do. ``rows`` is private."""

    column: Label
    category: Label
    rows: Count


class Impossible(Facts):
    """Pairs of values that synthetic rows have, no real row has, and chance alone would give."""

    columns: tuple[Label, Label]
    cells: Count
    share: Number


class PairedScore(Facts):
    """A model that learnt from synthetic rows beside one that learnt from real ones."""

    group: Label | None = None
    rows: Count
    synthetic: Number
    real: Number


class TargetFacts(Facts):
    """How well a column can be predicted on real rows. ``floor`` learns independent columns."""

    name: Label
    task: Label
    score: Label
    chosen: bool
    whole: PairedScore
    floor: Number
    groups: tuple[PairedScore, ...] = ()
    importance: tuple[tuple[Label, Number, Number], ...] = ()


class Example(Facts):
    """A few rows of both tables, as text."""

    columns: tuple[Label, ...]
    real: tuple[tuple[Label, ...], ...]
    synthetic: tuple[tuple[Label, ...], ...]


class Curve(Facts):
    """The ROC curve of an attack: (false alarms, members found), both rising, in shares."""

    name: Label
    people: Count
    points: tuple[tuple[Number, Number], ...]


class Audit(Facts):
    """What an audit of the plan's kind of releases found, beside what was claimed."""

    claimed: Number
    at_least: Number
    delta: Number
    games: Count


class EvaluationFacts(Facts):
    """Everything that a comparison with real rows found. It is private.

    ``mu`` is how far apart a person's being in and out may lie at most, in deviations of the
    noise (Gaussian differential privacy): no attack's curve lies above Phi(Phi^-1(f) + mu).
    """

    rows_real: Count
    rows_synthetic: Count
    rows_control: Count | None = None
    rows_compared: Count
    rows_learnt: Count
    lamps: tuple[Lamp, ...] = Field(min_length=4, max_length=4)
    measures: tuple[Measure, ...]
    columns: tuple[ColumnFacts, ...]
    not_compared: tuple[Label, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    impossible: tuple[Impossible, ...] = ()
    structural_zeros: str = Field(default="", max_length=200_000)
    told_apart_by: tuple[tuple[Label, Number], ...] = ()
    targets: tuple[TargetFacts, ...] = ()
    worst_records: tuple[Count, ...] = ()
    curves: tuple[Curve, ...] = ()
    mu: Number | None = None
    exhibits: tuple[Measure, ...] = ()
    audit: Audit | None = None
    example: Example
