from .questions import Answer, Phase, Question
from .views import FIRST, PREVIOUS, first_of, later_of, single_views, view_domains
from .weights import (
    MOST_FINENESS,
    MOST_LENGTH,
    MOST_SCALE,
    NORM_BINS,
    Weighing,
    fits_in_int64,
    norm_bins,
)

__all__ = [
    "FIRST",
    "MOST_FINENESS",
    "MOST_LENGTH",
    "MOST_SCALE",
    "NORM_BINS",
    "PREVIOUS",
    "Answer",
    "Phase",
    "Question",
    "Weighing",
    "first_of",
    "fits_in_int64",
    "later_of",
    "norm_bins",
    "single_views",
    "view_domains",
]
