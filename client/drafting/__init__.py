"""Schemas, tables, maps and rules proposed beside the data, for a person to review."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
