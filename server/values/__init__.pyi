from .beside_nobody import log_odds, pushed_up
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
    "log_odds",
    "nearest_counts",
    "nearest_shares",
    "project",
    "pushed_up",
    "steady_counts",
]
