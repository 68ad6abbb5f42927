from .central import CENTRAL_COMPONENTS, fit_central, fit_laws, next_step, read_centres
from .copula import COPULA_COMPONENTS, fit_copula
from .pairs import Candidate, NoisedPairs, Products, choose, collect_pairs
from .products import Settings, fit_products
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
    "NoisedPairs",
    "Products",
    "Settings",
    "choose",
    "collect_pairs",
    "denoise",
    "fit_central",
    "fit_copula",
    "fit_laws",
    "fit_products",
    "fit_projected",
    "next_step",
    "normal_scores",
    "read_centres",
    "read_moments",
]
