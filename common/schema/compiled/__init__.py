"""A schema's rules, compiled: what is counted instead, and which cells stay empty."""
