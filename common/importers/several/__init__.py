"""Descriptions of several tables: read one by one, then hung together."""
