"""What was measured and what is worth measuring next."""
