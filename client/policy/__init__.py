"""What a silo allows, as its operator wrote it."""
