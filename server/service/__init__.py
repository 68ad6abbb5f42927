"""Runs that nobody sits beside: a queue in a coordinator's home, and the service that pumps it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
