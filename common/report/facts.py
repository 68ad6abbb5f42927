"""The facts of a report: everything that its page shows, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from silosynth.common.document import describe_validation
from silosynth.common.errors import InvalidArgument
from silosynth.common.report.evaluation import EvaluationFacts
from silosynth.common.report.held.facts import HeldOutFacts
from silosynth.common.report.terms import Cost, Count, Facts, Label, Number

FACTS_VERSION = 3


class Mode(StrEnum):
    """What the synthetic table was held against."""

    SIMULATION = "simulation"
    FEDERATION = "federation"


class ScoreName(StrEnum):
    """What a score measures."""

    MARGINAL_DISTANCE = "marginal-distance"
    COLUMN_SHAPES = "column-shapes"
    COLUMN_PAIR_TRENDS = "column-pair-trends"
    NOISE_RATIO = "noise-ratio"


class Reference(StrEnum):
    """What a floor or a ceiling stands for."""

    BOOTSTRAP = "bootstrap"
    HELD_OUT = "held-out"
    NOISE = "noise"
    INDEPENDENT = "independent"
    UNIFORM = "uniform"


class Bound(StrEnum):
    """On which side of a stated share the true one lies, where it could not be pinned down."""

    AT_MOST = "at-most"
    AT_LEAST = "at-least"


class Score(Facts):
    """A number that never stands alone: its floor and its ceiling belong to it.

    ``ways`` is the k of a k-way score, ``subsample`` the share of the real rows that a random
    subsample as close as this table would have (None when the measure has none), and
    ``subsample_bound`` tells when it lies beyond the subsamples that were tried.
    """

    name: ScoreName
    ways: int = Field(ge=1)
    marginals: Count
    value: Number
    ceiling: Number
    ceiling_is: Reference
    floor: Number
    floor_is: Reference
    subsample: Number | None = None
    subsample_bound: Bound | None = None

    @property
    def higher_is_better(self) -> bool:
        """Tell whether 1 is the best value; otherwise 0 is."""
        return self.name in (ScoreName.COLUMN_SHAPES, ScoreName.COLUMN_PAIR_TRENDS)


class Layout(StrEnum):
    """How an attribute is drawn: one row for each category, or bins along an axis."""

    ROWS = "rows"
    BINS = "bins"


class AttributeFacts(Facts):
    """One attribute's 1-way marginal beside the synthetic table's, as shares of all rows.

    ``reference`` is real in a simulation and noised in a federation, where ``spread`` holds the
    standard deviation of its noise. The first ``body`` bars lie on an axis with ``edges``.
    """

    name: Label
    kind: str
    codes: Count
    layout: Layout
    labels: tuple[Label, ...]
    edges: tuple[Label, ...] = ()
    body: Count
    reference: tuple[Number, ...]
    synthetic: tuple[Number, ...]
    spread: tuple[Number, ...] | None = None
    value: Number
    ceiling: Number

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        bars = len(self.labels)
        arrays = (self.reference, self.synthetic, self.spread or self.reference)
        if any(len(a) != bars for a in arrays) or self.body > bars:
            raise ValueError("labels, reference, synthetic and spread must be of one length")
        return self


class PairFacts(Facts):
    """How far a pair of attributes lies from its reference.

    ``chosen`` tells whether the plan spent budget on this pair by itself.
    """

    left: Count
    right: Count
    value: Number
    ceiling: Number
    floor: Number
    chosen: bool = False


class PairsFacts(Facts):
    """All pairs that were compared, by position in ``attributes``."""

    attributes: tuple[Label, ...]
    pairs: tuple[PairFacts, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Self:
        if any(not p.left < p.right < len(self.attributes) for p in self.pairs):
            raise ValueError("a pair must name two attributes, in their order")
        return self


class SiloFacts(Facts):
    """What one silo spent. ``rows`` is a private count: only a simulation may show it."""

    name: Label
    rho: Cost
    epsilon: Cost
    rows: Count | None = None


class PhaseFacts(Facts):
    """One phase of the plan."""

    name: str
    marginals: Count
    cells: Count
    sigma2: str = Field(max_length=128)
    sigma: Number
    rho: Cost


class PlanFacts(Facts):
    """The plan, as far as a reader needs it."""

    id: Label
    digest: str
    method: str
    trust: str
    epsilon: Number
    delta: Number
    rows_per_person: Count
    unit: Label
    phases: tuple[PhaseFacts, ...]


class CertificateFacts(Facts):
    """The privacy statement: what was spent, in numbers and in plain words."""

    epsilon: Cost
    delta: Number
    sentences: tuple[str, ...] = Field(min_length=1)


class Headline(Facts):
    """Sizes. ``rows_real`` is private; ``rows_estimated`` is read off noised marginals."""

    schema_name: Label
    description: str | None = None
    attributes: Count
    silos: Count
    rows_synthetic: Count | None = None
    rows_real: Count | None = None
    rows_estimated: Number | None = None


class Provenance(Facts):
    """What is needed to make the same table again."""

    digests: Mapping[Label, Label] = Field(default_factory=dict)
    seeds: Mapping[Label, int] = Field(default_factory=dict)
    versions: Mapping[Label, Label] = Field(default_factory=dict)


class StripFacts(Facts):
    """Images of one class; each is its pixels row by row, from 0 for dark to 1."""

    label: Label
    images: tuple[tuple[Number, ...], ...] = Field(max_length=64)


class SheetFacts(Facts):
    """Synthetic images of one kind, class by class."""

    name: Label
    width: int = Field(ge=1, le=64)
    height: int = Field(ge=1, le=64)
    strips: tuple[StripFacts, ...] = Field(max_length=64)

    @model_validator(mode="after")
    def _whole_images(self) -> Self:
        pixels = self.width * self.height
        if any(len(image) != pixels for strip in self.strips for image in strip.images):
            raise ValueError("an image must have width times height pixels")
        return self


class TextFacts(Facts):
    """One synthetic text; it may hold anything, so the page escapes it."""

    attribute: Label
    label: Label
    text: str = Field(max_length=4096)


class SampleFacts(Facts):
    """What the synthetic rows look like where numbers do not tell."""

    sheets: tuple[SheetFacts, ...] = ()
    texts: tuple[TextFacts, ...] = ()


class ReportFacts(Facts):
    """Everything that the page shows, and nothing else."""

    version: Literal[3] = 3
    mode: Mode
    headline: Headline
    certificate: CertificateFacts | None = None
    evaluation: EvaluationFacts | None = None
    held_out: HeldOutFacts | None = None
    scores: tuple[Score, ...]
    attributes: tuple[AttributeFacts, ...]
    pairs: PairsFacts
    not_compared: tuple[Label, ...] = ()
    samples: SampleFacts | None = None
    silos: tuple[SiloFacts, ...] = ()
    plan: PlanFacts | None = None
    structural_zeros: str = Field(default="", max_length=200_000)
    provenance: Provenance

    @model_validator(mode="after")
    def _no_private_counts(self) -> Self:
        if self.mode is Mode.SIMULATION:
            return self
        if self.plan is None or self.certificate is None or self.evaluation is not None:
            raise ValueError("a federation's report has a plan, a certificate and no real row")
        if self.headline.rows_real is not None or any(s.rows is not None for s in self.silos):
            raise ValueError("a federation's report must not hold row counts of silos")
        if any(a.spread is None for a in self.attributes):
            raise ValueError("a federation's report shows noised marginals alone")
        return self


def encode_facts(facts: ReportFacts) -> bytes:
    """Return the bytes of ``report.json``: the same facts give the same bytes."""
    data = facts.model_dump(mode="json")
    return (json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def decode_facts(data: bytes, *, origin: str = "report.json") -> ReportFacts:
    """Parse the bytes of ``report.json``; raise InvalidArgument naming ``origin`` and the field."""
    value = _load_json(data, origin=origin)
    version = value.get("version") if isinstance(value, Mapping) else None
    if version != FACTS_VERSION:
        raise InvalidArgument(
            f"{origin}: version {version!r} of a report is not known",
            hint=f"version {FACTS_VERSION} is; make the report again",
        )
    try:
        return ReportFacts.model_validate(value)
    except ValidationError as err:
        raise InvalidArgument(f"{origin}: {describe_validation(err, value)}") from err


def _load_json(data: bytes, *, origin: str) -> Any:
    """Parse JSON; raise InvalidArgument when it is not JSON or too deep."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise InvalidArgument(f"{origin}: is not a report's JSON") from err
