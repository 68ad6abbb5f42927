from .local import Out, Silos, localise_run, write_local
from .replicate import COUNT, SEED, Count, Seed, replicate_run, write_replicates
from .report import Evaluation, Shown, hand_over, put_report, write_run_report

__all__ = [
    "COUNT",
    "SEED",
    "Count",
    "Evaluation",
    "Out",
    "Seed",
    "Shown",
    "Silos",
    "hand_over",
    "localise_run",
    "put_report",
    "replicate_run",
    "write_local",
    "write_replicates",
    "write_run_report",
]
