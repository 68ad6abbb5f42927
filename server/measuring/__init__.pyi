from .carried import Carried, carry, take_over, weigh_columns, within_memory
from .dependent import cells_of_rows, finer_codes, nearly_said, parted_by, rows_gather
from .evidence import (
    Measured,
    fit_measured,
    held_inside,
    merged_zeros,
    part_coarse,
    phase_deviation,
    rounds_measured,
)
from .soft_zeros import trust_empty
from .standing import standing_cliques
from .sum import add_masked, estimate_rows, regroup, sum_masked, sum_releases, to_all_rows
from .working_domain import coarse_grouping, keep_zeros_apart, within_groups, working_grouping

__all__ = [
    "Carried",
    "Measured",
    "add_masked",
    "carry",
    "cells_of_rows",
    "coarse_grouping",
    "estimate_rows",
    "finer_codes",
    "fit_measured",
    "held_inside",
    "keep_zeros_apart",
    "merged_zeros",
    "nearly_said",
    "part_coarse",
    "parted_by",
    "phase_deviation",
    "regroup",
    "rounds_measured",
    "rows_gather",
    "standing_cliques",
    "sum_masked",
    "sum_releases",
    "take_over",
    "to_all_rows",
    "trust_empty",
    "weigh_columns",
    "within_groups",
    "within_memory",
    "working_grouping",
]
