"""Silos with several tables in one process: the gateway of each, and what is sent to them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
