from .dp_sgd import trained_sampler
from .dummy import MADE_FROM, drawable, dummy_sampler
from .dummy_tables import write_dummy_tables
from .method import Design, Flags, Known, Outcome, Question, Terms
from .table import (
    METHODS,
    Choices,
    ask_phase,
    finish_run,
    options_of,
    read_method,
    require_generators,
)

__all__ = [
    "MADE_FROM",
    "METHODS",
    "Choices",
    "Design",
    "Flags",
    "Known",
    "Outcome",
    "Question",
    "Terms",
    "ask_phase",
    "drawable",
    "dummy_sampler",
    "finish_run",
    "options_of",
    "read_method",
    "require_generators",
    "trained_sampler",
    "write_dummy_tables",
]
