from .audited import load_audit
from .files import evaluate_file, evaluate_rows
from .gate import Gate, hold_gate, load_gate
from .made import Made, Opened, OpenRun, Tell, Wish, silent
from .reuse import again_measure, reuse_measures, run_measures

__all__ = [
    "Gate",
    "Made",
    "OpenRun",
    "Opened",
    "Tell",
    "Wish",
    "again_measure",
    "evaluate_file",
    "evaluate_rows",
    "hold_gate",
    "load_audit",
    "load_gate",
    "reuse_measures",
    "run_measures",
    "silent",
]
