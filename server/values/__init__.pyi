from .estimate import Counted, Values, choose_leaves, estimate_values, gather
from .tree import project

__all__ = ["Counted", "Values", "choose_leaves", "estimate_values", "gather", "project"]
