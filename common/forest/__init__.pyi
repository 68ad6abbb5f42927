from .block import Drawer, number_edges
from .chain import (
    MOST_SCORE,
    NEVER,
    SCORE_BITS,
    Chain,
    Follows,
    Step,
    Term,
    cells_of,
    draw_step,
    to_scores,
)
from .family import Drawn
from .file import holds_forest, is_forest, load_forest, parse_forest, save_forest
from .forest import ForestSampler, bins_of, own_attributes
from .gaps import PIECES, GapDrawer, gap_scales
from .tables import draw_forest, table_files

__all__ = [
    "MOST_SCORE",
    "NEVER",
    "PIECES",
    "SCORE_BITS",
    "Chain",
    "Drawer",
    "Drawn",
    "Follows",
    "ForestSampler",
    "GapDrawer",
    "Step",
    "Term",
    "bins_of",
    "cells_of",
    "draw_forest",
    "draw_step",
    "gap_scales",
    "holds_forest",
    "is_forest",
    "load_forest",
    "number_edges",
    "own_attributes",
    "parse_forest",
    "save_forest",
    "table_files",
    "to_scores",
]
