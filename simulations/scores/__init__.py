"""How near two tables are."""
