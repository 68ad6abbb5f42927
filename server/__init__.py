"""The coordinator: asks, sums, fits and hands out; trusted for progress alone."""
