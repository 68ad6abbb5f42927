"""The rosters that a silo goes by: the policy's, and each change that was approved since."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
