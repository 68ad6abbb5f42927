"""A silo's families: persons with all rows below them, joined, in order, and counted."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
