"""Text files with delimiters: how they are written, and their records, whatever those hold."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
