from .cost import RunCost, count_cost, read_cost
from .drive import Progress, Reached, Signed, TrainingProgress
from .journal import Journal, keep_last, read_answer, read_events, read_last, read_lines, read_state

__all__ = [
    "Journal",
    "Progress",
    "Reached",
    "RunCost",
    "Signed",
    "TrainingProgress",
    "count_cost",
    "keep_last",
    "read_answer",
    "read_cost",
    "read_events",
    "read_last",
    "read_lines",
    "read_state",
]
