from .messages import make_relay
from .process import main

__all__ = ["main", "make_relay"]
