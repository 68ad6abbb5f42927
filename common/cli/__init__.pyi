from .console import Force, Json, bars, emit, say, show_table
from .evaluate import JudgedWith, JudgeFlags, evaluate_command, hand_out, hold_bars, open_bars
from .flags import Older, OlderDryRun, TableFormat, read_age, with_flags
from .several.sample import refuse_of_tables

__all__ = [
    "Force",
    "Json",
    "JudgeFlags",
    "JudgedWith",
    "Older",
    "OlderDryRun",
    "TableFormat",
    "bars",
    "emit",
    "evaluate_command",
    "hand_out",
    "hold_bars",
    "open_bars",
    "read_age",
    "refuse_of_tables",
    "say",
    "show_table",
    "with_flags",
]
