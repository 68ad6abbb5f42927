"""Flower's side of a silo: passes plans in and releases out, sees no data."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
