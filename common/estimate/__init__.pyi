from .regression import estimate_regression, parse_formula
from .replicates import FEWEST, MOST, Interval, has_replicates, load_replicates, save_replicates
from .share import estimate_share

__all__ = [
    "FEWEST",
    "MOST",
    "Interval",
    "estimate_regression",
    "estimate_share",
    "has_replicates",
    "load_replicates",
    "parse_formula",
    "save_replicates",
]
