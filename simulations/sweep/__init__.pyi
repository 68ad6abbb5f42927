from .cli import simulate_sweep

__all__ = ["simulate_sweep"]
