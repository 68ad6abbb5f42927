from .console import Force, Json, bars, emit, say, show_table
from .evaluate import (
    GateFile,
    JudgedWith,
    JudgeFlags,
    end_missed,
    evaluate_command,
    hand_out,
    hold_bars,
    keep_no_memory,
    open_bars,
    read_gate,
)
from .flags import Older, OlderDryRun, TableFormat, read_age, with_flags
from .several.sample import refuse_of_tables

__all__ = [
    "Force",
    "GateFile",
    "Json",
    "JudgeFlags",
    "JudgedWith",
    "Older",
    "OlderDryRun",
    "TableFormat",
    "bars",
    "emit",
    "end_missed",
    "evaluate_command",
    "hand_out",
    "hold_bars",
    "keep_no_memory",
    "open_bars",
    "read_age",
    "read_gate",
    "refuse_of_tables",
    "say",
    "show_table",
    "with_flags",
]
