from .chance import generator
from .cli import register_scenario, simulate_scenario
from .rehearse import Rehearsal
from .rules import match_plan
from .scenario import Scenario, load_scenario, parse_scenario
from .units import SECOND, read_span, spell_span

__all__ = [
    "SECOND",
    "Rehearsal",
    "Scenario",
    "generator",
    "load_scenario",
    "match_plan",
    "parse_scenario",
    "read_span",
    "register_scenario",
    "simulate_scenario",
    "spell_span",
]
