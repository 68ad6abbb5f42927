"""Several tables: a person with everything below it, how tables hang together, keys and links."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
