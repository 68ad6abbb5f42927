"""Exact integer noise from the operating system, and a silo's share of it."""
