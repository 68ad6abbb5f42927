"""CSV files that a fast reader would refuse for a single record, and how to tell them."""
