from .report import write_run_report

__all__ = ["write_run_report"]
