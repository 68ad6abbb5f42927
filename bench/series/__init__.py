"""Repeated runs: what a second epoch costs and gives, and what a look for drift finds."""
