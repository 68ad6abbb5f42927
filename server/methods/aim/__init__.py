"""AIM: rounds of choosing pairs, measuring them and fitting."""
