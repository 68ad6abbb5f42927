"""What a run is about: one table, or several that hang together."""

from __future__ import annotations

from silosynth.common.domain import Domain
from silosynth.common.errors import RunFailed
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema


class OfTables:
    """What has the schema of one table or of several, and gives it to those that need one kind."""

    __slots__ = ()
    schema: Schema | TablesSchema

    @property
    def table(self) -> Schema:
        """Return the schema of the one table that a run is about."""
        if isinstance(self.schema, TablesSchema):
            raise RunFailed(f"schema {self.schema.name!r} has several tables")
        return self.schema

    @property
    def tables(self) -> TablesSchema:
        """Return the schema of the several tables that a run is about."""
        if not isinstance(self.schema, TablesSchema):
            raise RunFailed(f"schema {self.schema.name!r} has one table")
        return self.schema

    @property
    def counted(self) -> Domain | TablesSchema:
        """Return what requests are held against."""
        return self.schema if isinstance(self.schema, TablesSchema) else self.schema.domain
