from .cli import register_scenario, simulate_scenario
from .member import RowsOf
from .outcome import Rehearsal

__all__ = ["Rehearsal", "RowsOf", "register_scenario", "simulate_scenario"]
