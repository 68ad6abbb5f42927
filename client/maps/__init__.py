"""How a silo's own table is brought to the schema's columns, words and units."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
