from .again import open_run, run_costs, same_bytes
from .held import held_facts, with_held_out
from .outcome import charged_units, chosen_pairs, report_outcome, run_provenance

__all__ = [
    "charged_units",
    "chosen_pairs",
    "held_facts",
    "open_run",
    "report_outcome",
    "run_costs",
    "run_provenance",
    "same_bytes",
    "with_held_out",
]
