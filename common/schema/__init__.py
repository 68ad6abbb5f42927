"""What is public about a table: its attributes, their kinds, bounds and categories."""
