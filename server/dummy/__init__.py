"""Rows that a schema alone permits: nothing was read, and nothing is said of anybody."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
