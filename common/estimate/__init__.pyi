from .interval import Interval
from .regression import Formula, estimate_regression, parse_formula
from .replicates import Replicated, load_replicates, replicates_beside, save_replicates
from .share import estimate_share

__all__ = [
    "Formula",
    "Interval",
    "Replicated",
    "estimate_regression",
    "estimate_share",
    "load_replicates",
    "parse_formula",
    "replicates_beside",
    "save_replicates",
]
