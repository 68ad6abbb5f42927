"""The silo's page: what waits and what it would cost, what was spent, and all that ever left."""
