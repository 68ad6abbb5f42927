from .replicate import COUNT, SEED, Count, Seed, replicate_run, write_replicates
from .report import write_run_report

__all__ = [
    "COUNT",
    "SEED",
    "Count",
    "Seed",
    "replicate_run",
    "write_replicates",
    "write_run_report",
]
