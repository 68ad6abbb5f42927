from .cost import RunCost, count_cost, read_cost
from .drive import Progress, Reached, Signed, TrainingProgress
from .journal import Journal, read_answer, read_events, read_lines

__all__ = [
    "Journal",
    "Progress",
    "Reached",
    "RunCost",
    "Signed",
    "TrainingProgress",
    "count_cost",
    "read_answer",
    "read_cost",
    "read_events",
    "read_lines",
]
