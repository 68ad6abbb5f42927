"""How close a synthetic table is to real rows, how useful, and what it gives away."""
