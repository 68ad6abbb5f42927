from .agreement import SumStage
from .candidates import encode_candidates
from .local import localise
from .machine import replay, step
from .outcome import finish, finish_tables, make
from .replicates import draw_replicates
from .state import (
    Absent,
    Acknowledged,
    Agree,
    Answered,
    Ask,
    Decided,
    Deliver,
    Event,
    Fail,
    Finish,
    Fitted,
    Imagine,
    Imagined,
    Mute,
    Notice,
    Propose,
    Silent,
    Stage,
    State,
    Stated,
    Undecided,
)
from .sums import Commands

__all__ = [
    "Absent",
    "Acknowledged",
    "Agree",
    "Answered",
    "Ask",
    "Commands",
    "Decided",
    "Deliver",
    "Event",
    "Fail",
    "Finish",
    "Fitted",
    "Imagine",
    "Imagined",
    "Mute",
    "Notice",
    "Propose",
    "Silent",
    "Stage",
    "State",
    "Stated",
    "SumStage",
    "Undecided",
    "draw_replicates",
    "encode_candidates",
    "finish",
    "finish_tables",
    "localise",
    "make",
    "replay",
    "step",
]
