"""The gateway as a process: its user, sockets and metrics."""
