from .copula import fit_copula
from .pairs import Candidate, NoisedPairs, Products, choose, collect_pairs
from .products import Settings, fit_products
from .projected import fit_projected, normal_scores, read_moments
from .spectrum import denoise

__all__ = [
    "Candidate",
    "NoisedPairs",
    "Products",
    "Settings",
    "choose",
    "collect_pairs",
    "denoise",
    "fit_copula",
    "fit_products",
    "fit_projected",
    "normal_scores",
    "read_moments",
]
