from .console import Force, Json, emit, people, say, show_table

__all__ = ["Force", "Json", "emit", "people", "say", "show_table"]
