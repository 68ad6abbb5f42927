"""A silo put together from its policy, checked before it serves, drafted for its schema."""
