from .outcome import charged_units, chosen_pairs, report_outcome, run_provenance

__all__ = ["charged_units", "chosen_pairs", "report_outcome", "run_provenance"]
