from .judge import GateFile
from .replicate import COUNT, SEED, Count, Seed, replicate_run, write_replicates
from .report import Evaluation, Shown, hand_over, put_report, write_run_report

__all__ = [
    "COUNT",
    "SEED",
    "Count",
    "Evaluation",
    "GateFile",
    "Seed",
    "Shown",
    "hand_over",
    "put_report",
    "replicate_run",
    "write_replicates",
    "write_run_report",
]
