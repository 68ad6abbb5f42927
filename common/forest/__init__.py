"""The sampler of several tables: rows drawn top down, each given what stands above and before."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
