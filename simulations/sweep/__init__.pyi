from .cli import simulate_sweep
from .on_ray import joined

__all__ = ["joined", "simulate_sweep"]
