"""The pump of the state machine, and the journal that survives a crash."""
