"""A member of a secure sum: masks, and the vectors that are stored once."""
