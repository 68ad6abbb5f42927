from .ask import Asked, ask_families, link_names, rho_shares
from .fit import fit_families
from .length import FINENESS, choose_weighing

__all__ = [
    "FINENESS",
    "Asked",
    "ask_families",
    "choose_weighing",
    "fit_families",
    "link_names",
    "rho_shares",
]
