from .choose import Candidate, choose
from .copula import fit_copula
from .denoise import denoise
from .pairs import NoisedPairs, Products, collect_pairs
from .products import Settings, fit_products

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
]
