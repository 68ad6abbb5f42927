"""The method for several tables: what its phases ask, and the chains fitted to the answers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
