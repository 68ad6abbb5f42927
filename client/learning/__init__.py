"""Local steps of a generator on private rows: gradients, clipping, noised sums."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
