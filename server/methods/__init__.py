"""One module a method: its options, sizes and shares, what its phases ask, how it ends."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
