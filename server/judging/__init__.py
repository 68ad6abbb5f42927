"""A sampler judged by the people who were held out: how it is planned, and what is kept of it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
