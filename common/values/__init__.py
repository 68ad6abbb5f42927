"""The public grid of a number's values: what is counted of it, and what is drawn from it."""
