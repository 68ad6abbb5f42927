"""A project's roster at its coordinator: its file, its chain of changes, its post."""
