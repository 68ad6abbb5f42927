"""Attacks that tell who was in a table, beside a control of other people."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
