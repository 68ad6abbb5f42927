"""The silo: the only part that reads private data."""
