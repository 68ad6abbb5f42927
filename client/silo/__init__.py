"""A silo put together from its policy, checked before it serves, kept and recovered."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
