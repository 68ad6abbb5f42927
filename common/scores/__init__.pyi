from .column_scores import mean_score, shapes_of, trends_of
from .metrics import (
    SubsampleCurve,
    all_cliques,
    equivalent_subsample,
    fixed_cliques,
    marginal_distance,
    marginal_distances,
    subsample_curve,
    total_variations,
)
from .regression import Fit, fit_linear, fit_logistic
from .rows import (
    Rows,
    draw_again,
    merge_bins,
    nested_subsamples,
    read_rows,
    shuffle_columns,
    some_rows,
)
from .sides import MOST_COMPARED, Sides, make_sides
from .tables import MOST_ROWS, Sampled, is_table, read_sample, sample_batches
from .value_bins import contiguous_edges
from .values import Column, ValueKind, Values, read_values

__all__ = [
    "MOST_COMPARED",
    "MOST_ROWS",
    "Column",
    "Fit",
    "Rows",
    "Sampled",
    "Sides",
    "SubsampleCurve",
    "ValueKind",
    "Values",
    "all_cliques",
    "contiguous_edges",
    "draw_again",
    "equivalent_subsample",
    "fit_linear",
    "fit_logistic",
    "fixed_cliques",
    "is_table",
    "make_sides",
    "marginal_distance",
    "marginal_distances",
    "mean_score",
    "merge_bins",
    "nested_subsamples",
    "read_rows",
    "read_sample",
    "read_values",
    "sample_batches",
    "shapes_of",
    "shuffle_columns",
    "some_rows",
    "subsample_curve",
    "total_variations",
    "trends_of",
]
