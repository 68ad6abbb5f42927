from .messages import make_relay

__all__ = ["make_relay"]
