"""Rows to be compared, and how far apart they are."""
