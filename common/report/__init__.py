"""The report of a run: one static page and the facts behind it."""
