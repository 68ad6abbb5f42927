"""One module a method: its options, sizes and shares, what its phases ask, how it ends."""
