"""The only process that reads private rows: verify, charge, read, noise, store, send."""
