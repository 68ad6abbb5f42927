"""The public grid of a number's values: what is counted of it, and what is drawn from it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
