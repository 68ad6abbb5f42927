from .again import open_run, run_costs, same_bytes
from .held import held_facts, with_held_out
from .outcome import charged_units, chosen_pairs, report_outcome, run_provenance
from .proposed import propose_zeros, spell_zeros

__all__ = [
    "charged_units",
    "chosen_pairs",
    "held_facts",
    "open_run",
    "propose_zeros",
    "report_outcome",
    "run_costs",
    "run_provenance",
    "same_bytes",
    "spell_zeros",
    "with_held_out",
]
