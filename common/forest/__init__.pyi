from .block import Drawer, Drawn, number_edges
from .chain import NEVER, SCORE_BITS, Chain, Step, Term, cells_of, draw_step, to_scores
from .file import save_forest
from .forest import ForestSampler, bins_of

__all__ = [
    "NEVER",
    "SCORE_BITS",
    "Chain",
    "Drawer",
    "Drawn",
    "ForestSampler",
    "Step",
    "Term",
    "bins_of",
    "cells_of",
    "draw_step",
    "number_edges",
    "save_forest",
    "to_scores",
]
