"""Silos of a simulation: a directory each, and the gateways that are opened from them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
