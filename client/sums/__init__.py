"""A member of a secure sum: masks, and the vectors that are stored once."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
