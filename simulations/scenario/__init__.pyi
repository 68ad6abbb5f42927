from .cli import register_scenario, simulate_scenario
from .coordinator import Run
from .federation import COORDINATOR, caps_of, decide, make_gateway, with_roster
from .invariants import faults, liars_of, summed_of
from .letters import Deaths, Encounters
from .member import Member, RequestBits, RowsOf, lied
from .outcome import Rehearsal, claim
from .timeline import Leg, Timeline, What

__all__ = [
    "COORDINATOR",
    "Deaths",
    "Encounters",
    "Leg",
    "Member",
    "Rehearsal",
    "RequestBits",
    "RowsOf",
    "Run",
    "Timeline",
    "What",
    "caps_of",
    "claim",
    "decide",
    "faults",
    "liars_of",
    "lied",
    "make_gateway",
    "register_scenario",
    "simulate_scenario",
    "summed_of",
    "with_roster",
]
