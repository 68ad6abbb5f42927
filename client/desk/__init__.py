"""An operator's desk: what waits, what was released, what is spent."""
