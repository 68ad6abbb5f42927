"""The facts of a report of several tables: what its page shows, as data."""

from __future__ import annotations

import json
from typing import Literal

from silosynth.common.report import (
    CertificateFacts,
    Count,
    Facts,
    Label,
    Measure,
    Mode,
    Number,
    PlanFacts,
    Provenance,
    SiloFacts,
)


class RuleFacts(Facts):
    """A rule, and how many rows break it on both sides."""

    rule: Label
    real: Count
    synthetic: Count


class NumbersFacts(Facts):
    """How many rows parents have: shares of parents by class, on both sides."""

    labels: tuple[Label, ...]
    real: tuple[Number, ...]
    synthetic: tuple[Number, ...]


class IntegrityFacts(Facts):
    """What does not hold of a table's rows."""

    rows: Count
    orphans: Count
    double_keys: Count
    falls: Count


class TableFacts(Facts):
    """One table: what holds of its rows on both sides, and what is written of them."""

    name: Label
    parent: Label | None = None
    by: Label | None = None
    order: Label | None = None
    real: IntegrityFacts
    synthetic: IntegrityFacts
    rules: tuple[RuleFacts, ...] = ()
    numbers: NumbersFacts | None = None
    columns: tuple[Label, ...] = ()
    example: tuple[tuple[Label, ...], ...] = ()


class FamiliesFacts(Facts):
    """Everything that the page of several tables shows. It is private: real rows were read.

    ``floors`` says by measure what its floor is, ``ceiling_is`` what its ceiling is.
    """

    version: Literal[1] = 1
    mode: Mode
    schema_name: Label
    person: Label
    persons_real: Count
    persons_synthetic: Count
    persons_compared: Count
    ceiling_is: Label
    tables: tuple[TableFacts, ...]
    measures: tuple[Measure, ...]
    floors: dict[Label, Label]
    left_out: tuple[Label, ...] = ()
    certificate: CertificateFacts | None = None
    silos: tuple[SiloFacts, ...] = ()
    plan: PlanFacts | None = None
    provenance: Provenance


def encode_families(facts: FamiliesFacts) -> bytes:
    """Return the bytes of ``report.json``: the same facts give the same bytes."""
    data = facts.model_dump(mode="json")
    return (json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()
