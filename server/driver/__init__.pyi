from .cost import RunCost, count_cost, read_cost
from .drive import Progress, Reached, Signed, TrainingProgress
from .imagine import Generator, generator_of, no_generator
from .journal import Journal, check_last, keep_last, read_answer, read_last, read_lines, read_state

__all__ = [
    "Generator",
    "Journal",
    "Progress",
    "Reached",
    "RunCost",
    "Signed",
    "TrainingProgress",
    "check_last",
    "count_cost",
    "generator_of",
    "keep_last",
    "no_generator",
    "read_answer",
    "read_cost",
    "read_last",
    "read_lines",
    "read_state",
]
