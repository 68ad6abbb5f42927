"""Columns that nobody's rows are read for: names, mails, keys and dates of entry, made by row."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
