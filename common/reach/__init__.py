"""Reach a SuperLink: its address, its certificate, proxies, and how long a call may take."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
