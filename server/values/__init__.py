"""From noised trees over a number's values to pieces of mass, and to the codes of the model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
