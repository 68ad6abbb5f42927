from .replicate import replicate_run, write_replicates
from .report import write_run_report

__all__ = ["replicate_run", "write_replicates", "write_run_report"]
