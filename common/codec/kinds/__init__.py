"""Attribute kinds: a module each, with all that a kind does to a column."""
