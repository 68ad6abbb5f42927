"""Whether people have moved away from a sampler, asked before anything is measured again."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
