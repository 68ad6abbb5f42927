"""Flower's side of a silo: passes plans in and releases out, sees no data."""
