"""Keys, signatures and the sealed envelopes that travel."""
