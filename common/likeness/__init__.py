"""How near drawn families are to real ones: tables, links, siblings, and what hangs together."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
