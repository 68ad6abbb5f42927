from .block import Drawer
from .chain import Chain, Step, Term, draw_step, to_scores
from .file import load_forest, save_forest
from .forest import ForestSampler, own_attributes
from .tables import Forest, draw_forest

__all__ = [
    "Chain",
    "Drawer",
    "Forest",
    "ForestSampler",
    "Step",
    "Term",
    "draw_forest",
    "draw_step",
    "load_forest",
    "own_attributes",
    "save_forest",
    "to_scores",
]
