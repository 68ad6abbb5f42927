"""A data set as the gateway holds it: its schema, the limits on it, and where its rows are."""

from __future__ import annotations

from dataclasses import dataclass, field

from silosynth.client.policy.limits import Policy
from silosynth.client.source.open import Source
from silosynth.common.domain import Domain
from silosynth.common.schema.schema import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One table of a silo. ``bounded`` says that its source bounds the rows of a person.

    ``domain`` and ``schema_digest`` are the schema's, worked out once.
    """

    schema: Schema
    rows: Source
    policy: Policy
    bounded: bool = False
    domain: Domain = field(init=False)
    schema_digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", self.schema.domain)
        object.__setattr__(self, "schema_digest", self.schema.digest)
