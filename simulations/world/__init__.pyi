from .chance import generator
from .faults import (
    STEPS,
    Befalling,
    CoordinatorCrash,
    Crash,
    Outage,
    Partition,
    Point,
    Stall,
)
from .happens import can_be_still, idle
from .place import Place, Sizes, make_places, transmission
from .rules import broken, check_rules, match_plan
from .scenario import (
    MOST_SEED,
    Lie,
    Scenario,
    load_scenario,
    parse_scenario,
    scenario_json_schema,
)
from .skewed import skew_tables
from .units import SECOND, read_span, spell_span
from .words import described

__all__ = [
    "MOST_SEED",
    "SECOND",
    "STEPS",
    "Befalling",
    "CoordinatorCrash",
    "Crash",
    "Lie",
    "Outage",
    "Partition",
    "Place",
    "Point",
    "Scenario",
    "Sizes",
    "Stall",
    "broken",
    "can_be_still",
    "check_rules",
    "described",
    "generator",
    "idle",
    "load_scenario",
    "make_places",
    "match_plan",
    "parse_scenario",
    "read_span",
    "scenario_json_schema",
    "skew_tables",
    "spell_span",
    "transmission",
]
