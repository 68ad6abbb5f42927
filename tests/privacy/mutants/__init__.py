"""Changes that each break one promise of privacy, by the place that they are in.

A module of this package is one place, and lists its changes as ``MUTANTS``.
"""
