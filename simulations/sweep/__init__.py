"""Sweeps: one or two things varied over many rehearsals, with curves and their numbers."""
