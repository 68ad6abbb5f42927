from .ages import Older, OlderDryRun, read_age
from .console import Force, Json, bars, emit, say, show_table
from .evaluate import JudgeFlags, evaluate_command, hand_out, open_bars
from .flags import with_flags

__all__ = [
    "Force",
    "Json",
    "JudgeFlags",
    "Older",
    "OlderDryRun",
    "bars",
    "emit",
    "evaluate_command",
    "hand_out",
    "open_bars",
    "read_age",
    "say",
    "show_table",
    "with_flags",
]
