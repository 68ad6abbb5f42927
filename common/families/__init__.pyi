from .questions import Phase, Question
from .views import first_of, later_of, view_domains
from .weights import NORM_BINS, fits_in_int64, norm_bins

__all__ = [
    "NORM_BINS",
    "Phase",
    "Question",
    "first_of",
    "fits_in_int64",
    "later_of",
    "norm_bins",
    "view_domains",
]
