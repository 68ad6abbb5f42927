"""A scenario in real time, over a SuperLink, SuperNodes, relays and gateways as processes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
