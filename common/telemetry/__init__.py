"""What operators watch: log lines, metrics and pages of health. None holds a data value."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
