from .cli import register_scenario, simulate_scenario
from .federation import RowsOf
from .rehearse import Rehearsal

__all__ = ["Rehearsal", "RowsOf", "register_scenario", "simulate_scenario"]
