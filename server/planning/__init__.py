"""A plan from a schema and a budget, and what it will cost and give."""
