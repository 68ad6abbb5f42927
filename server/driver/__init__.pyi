from .drive import Progress, Reached, Signed, TrainingProgress
from .journal import Journal, read_events

__all__ = ["Journal", "Progress", "Reached", "Signed", "TrainingProgress", "read_events"]
