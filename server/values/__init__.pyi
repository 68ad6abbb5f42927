from .estimate import Counted, Values, choose_leaves, estimate_values, gather
from .tree import nearest_counts, project

__all__ = [
    "Counted",
    "Values",
    "choose_leaves",
    "estimate_values",
    "gather",
    "nearest_counts",
    "project",
]
