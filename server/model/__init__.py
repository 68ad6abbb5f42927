"""The graphical model: junction tree, potentials, and their fit to measurements."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
