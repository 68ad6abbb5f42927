from .console import Force, Json, bars, emit, say, show_table

__all__ = ["Force", "Json", "bars", "emit", "say", "show_table"]
