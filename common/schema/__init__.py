"""What is public about a table: its attributes, their kinds, bounds and categories."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
