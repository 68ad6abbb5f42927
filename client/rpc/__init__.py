"""The socket between relay and gateway, and what is spoken over it."""
