from .block import Drawer, Drawn, number_edges
from .chain import NEVER, Chain, Step, Term, cells_of, draw_step, to_scores
from .file import load_forest, save_forest
from .forest import ForestSampler, bins_of, own_attributes
from .tables import Forest, draw_forest

__all__ = [
    "NEVER",
    "Chain",
    "Drawer",
    "Drawn",
    "Forest",
    "ForestSampler",
    "Step",
    "Term",
    "bins_of",
    "cells_of",
    "draw_forest",
    "draw_step",
    "load_forest",
    "number_edges",
    "own_attributes",
    "save_forest",
    "to_scores",
]
