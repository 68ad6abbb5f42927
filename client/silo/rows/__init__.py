"""A silo's data sets: opened as its policy says, read whole and judged for its operator alone."""
