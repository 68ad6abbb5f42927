from .audited import load_audit
from .files import evaluate_file, evaluate_rows
from .gate import Gate, hold_gate, load_gate
from .lamps import held_lamps
from .made import Guarantee, Made, Opened, OpenRun, Tell, Wish, guarantee_of, silent
from .reuse import again_measure, reuse_measures, run_measures

__all__ = [
    "Gate",
    "Guarantee",
    "Made",
    "OpenRun",
    "Opened",
    "Tell",
    "Wish",
    "again_measure",
    "evaluate_file",
    "evaluate_rows",
    "guarantee_of",
    "held_lamps",
    "hold_gate",
    "load_audit",
    "load_gate",
    "reuse_measures",
    "run_measures",
    "silent",
]
