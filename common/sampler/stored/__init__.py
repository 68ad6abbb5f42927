"""A sampler's file: its members, what they mean, and networks as bytes."""
