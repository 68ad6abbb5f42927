"""What an attacker really learns from a plan's releases, by games with made-up people."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
