from .evaluate import Tell, Wish, silent
from .files import evaluate_file
from .gate import hold_gate, load_gate
from .reuse import reuse_measures

__all__ = ["Tell", "Wish", "evaluate_file", "hold_gate", "load_gate", "reuse_measures", "silent"]
