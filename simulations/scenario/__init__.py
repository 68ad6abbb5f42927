"""Scenarios: what the world does to a federation, and a virtual clock to live through it."""
