from .ask import ask_families, rho_shares
from .fit import fit_families
from .length import FINENESS, choose_weighing

__all__ = [
    "FINENESS",
    "ask_families",
    "choose_weighing",
    "fit_families",
    "rho_shares",
]
