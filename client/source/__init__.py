"""Where private rows are read: files, DuckDB, PostgreSQL, Ray."""
