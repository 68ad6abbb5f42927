"""Generators trained by the coordinator on what silos released."""
