"""Local steps of a generator on private rows: gradients, clipping, noised sums."""
