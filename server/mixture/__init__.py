"""Models that are fitted to all noised pairs at once, and are mixtures of products."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
