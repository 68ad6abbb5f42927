"""Sweeps: one or two things varied over many rehearsals, with curves and their numbers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
