"""The world of a federation, as a file says it: regions, links, people, rules, and what happens."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
