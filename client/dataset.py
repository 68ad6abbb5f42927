"""A data set as the gateway holds it: its schema, the limits on it, and where its rows are."""

from __future__ import annotations

from dataclasses import dataclass

from silosynth.client.policy import Policy
from silosynth.client.source import Source
from silosynth.common.schema import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One table of a silo. ``bounded`` says that its source bounds the rows of a person."""

    schema: Schema
    rows: Source
    policy: Policy
    bounded: bool = False
