"""What drawn rows say of the people behind them, and how far off that may be."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
