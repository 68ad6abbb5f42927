from .apart import lists_merged, pairs_apart
from .regression import estimate_regression, parse_formula
from .replicates import (
    FEWEST,
    MOST,
    Interval,
    Modelled,
    has_replicates,
    load_replicates,
    save_replicates,
)
from .share import estimate_share

__all__ = [
    "FEWEST",
    "MOST",
    "Interval",
    "Modelled",
    "estimate_regression",
    "estimate_share",
    "has_replicates",
    "lists_merged",
    "load_replicates",
    "pairs_apart",
    "parse_formula",
    "save_replicates",
]
