from .estimate import Counted, Values, choose_leaves, estimate_values, gather
from .lists import FEWEST_CODES, steady_counts
from .tree import nearest_counts, nearest_shares, project

__all__ = [
    "FEWEST_CODES",
    "Counted",
    "Values",
    "choose_leaves",
    "estimate_values",
    "gather",
    "nearest_counts",
    "nearest_shares",
    "project",
    "steady_counts",
]
