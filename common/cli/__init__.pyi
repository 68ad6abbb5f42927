from .ages import Older, OlderDryRun, read_age
from .console import Force, Json, bars, emit, say, show_table
from .flags import with_flags

__all__ = [
    "Force",
    "Json",
    "Older",
    "OlderDryRun",
    "bars",
    "emit",
    "read_age",
    "say",
    "show_table",
    "with_flags",
]
