from .central import CENTRAL_COMPONENTS, fit_central, fit_laws, next_step, read_centres
from .cleaning import clean_coarse
from .columns import join_columns
from .copula import COPULA_COMPONENTS, fit_copula
from .fitting import Settings, fit_trees
from .forest import Trees
from .levels import Levels
from .pairs import Candidate, NoisedPairs, Products, choose, collect_pairs
from .projected import (
    FEWEST_POINTS,
    PROJECTED_COMPONENTS,
    fit_projected,
    normal_scores,
    read_moments,
)
from .spectrum import denoise

__all__ = [
    "CENTRAL_COMPONENTS",
    "COPULA_COMPONENTS",
    "FEWEST_POINTS",
    "PROJECTED_COMPONENTS",
    "Candidate",
    "Levels",
    "NoisedPairs",
    "Products",
    "Settings",
    "Trees",
    "choose",
    "clean_coarse",
    "collect_pairs",
    "denoise",
    "fit_central",
    "fit_copula",
    "fit_laws",
    "fit_projected",
    "fit_trees",
    "join_columns",
    "next_step",
    "normal_scores",
    "read_centres",
    "read_moments",
]
