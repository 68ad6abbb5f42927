from .links import has_later, later_link, link_names, links_asked, parent_link
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
    "has_later",
    "later_link",
    "later_of",
    "link_names",
    "links_asked",
    "norm_bins",
    "parent_link",
    "single_views",
    "view_domains",
]
