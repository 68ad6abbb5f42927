"""A federation's roster: who takes part, its signed changes, requests to join, words to compare."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
