from .estimate import Counted, Values, choose_leaves, estimate_values, gather
from .shares import project

__all__ = ["Counted", "Values", "choose_leaves", "estimate_values", "gather", "project"]
