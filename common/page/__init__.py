"""The frame of a page that people look at: who is let in, how it is shown, and what keeps it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
