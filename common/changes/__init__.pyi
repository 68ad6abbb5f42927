from .facts import ChangeFacts, MarginalFacts, StepFacts
from .judge import compare_releases, load_release
from .page import write_changes

__all__ = [
    "ChangeFacts",
    "MarginalFacts",
    "StepFacts",
    "compare_releases",
    "load_release",
    "write_changes",
]
