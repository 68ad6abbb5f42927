from .console import Force, Json, bars, emit, say, show_table
from .flags import with_flags

__all__ = ["Force", "Json", "bars", "emit", "say", "show_table", "with_flags"]
