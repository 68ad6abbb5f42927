from .budget import Size, calibrated, crowding
from .dp_sgd import trained_sampler
from .marginals import draw_order
from .method import Design, Flags, Known, Outcome, Question, Terms, Wanted
from .mixture import most_groups
from .table import (
    METHODS,
    Choices,
    ask_phase,
    describe_plan,
    finish_run,
    options_of,
    read_method,
    require_generators,
    wanted_candidates,
)
from .training import TrainingChoice

__all__ = [
    "METHODS",
    "Choices",
    "Design",
    "Flags",
    "Known",
    "Outcome",
    "Question",
    "Size",
    "Terms",
    "TrainingChoice",
    "Wanted",
    "ask_phase",
    "calibrated",
    "crowding",
    "describe_plan",
    "draw_order",
    "finish_run",
    "most_groups",
    "options_of",
    "read_method",
    "require_generators",
    "trained_sampler",
    "wanted_candidates",
]
