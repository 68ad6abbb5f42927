from .estimate import Counted, Values, choose_leaves, estimate_values, gather
from .tree import nearest_counts, nearest_shares, project

__all__ = [
    "Counted",
    "Values",
    "choose_leaves",
    "estimate_values",
    "gather",
    "nearest_counts",
    "nearest_shares",
    "project",
]
