"""Other tools' descriptions of a table, read as a schema."""
