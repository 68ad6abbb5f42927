from .epsilon import pld_epsilon, rho_for
from .noise import RHO_UNIT, SMOOTHING, GaussianCost, Noise, rho_units, total_rho
from .rdp import add_vectors, rdp_epsilon, rdp_vector
from .statistical import count_law
from .sum_law import check_share
from .zcdp import (
    ORDER_UNIT,
    ORDERS,
    ORDERS_VERSION,
    Vector,
    budget_order,
    budget_units,
    cks_epsilon,
    held_epsilon,
    price_units,
    rounded_up,
    stated_epsilon,
    units_epsilon,
)

__all__ = [
    "ORDERS",
    "ORDERS_VERSION",
    "ORDER_UNIT",
    "RHO_UNIT",
    "SMOOTHING",
    "GaussianCost",
    "Noise",
    "Vector",
    "add_vectors",
    "budget_order",
    "budget_units",
    "check_share",
    "cks_epsilon",
    "count_law",
    "held_epsilon",
    "pld_epsilon",
    "price_units",
    "rdp_epsilon",
    "rdp_vector",
    "rho_for",
    "rho_units",
    "rounded_up",
    "stated_epsilon",
    "total_rho",
    "units_epsilon",
]
