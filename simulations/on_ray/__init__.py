"""What a simulation has of Ray and Flower's nodes: silos by chunks, a node and a host each."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
