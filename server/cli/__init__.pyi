from .local import Out, Silos, localise_run, write_local
from .replicate import COUNT, SEED, Count, Seed, replicate_run, write_replicates
from .report import write_run_report

__all__ = [
    "COUNT",
    "SEED",
    "Count",
    "Out",
    "Seed",
    "Silos",
    "localise_run",
    "replicate_run",
    "write_local",
    "write_replicates",
    "write_run_report",
]
