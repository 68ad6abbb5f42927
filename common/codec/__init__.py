"""Rows of a table to integer codes, and back."""
