from .cost import RunCost, count_cost, read_cost
from .drive import Progress, Reached, Signed, TrainingProgress
from .imagine import Generator, generator_of, no_generator
from .journal import Journal, read_answer, read_events, read_lines

__all__ = [
    "Generator",
    "Journal",
    "Progress",
    "Reached",
    "RunCost",
    "Signed",
    "TrainingProgress",
    "count_cost",
    "generator_of",
    "no_generator",
    "read_answer",
    "read_cost",
    "read_events",
    "read_lines",
]
