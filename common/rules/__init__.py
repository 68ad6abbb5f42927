"""Rules between columns, as one line of text each: read, printed, checked, and told of rows."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
