"""Tables of codes to marginals, compiled where a compiler is at hand."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
