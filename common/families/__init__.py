"""What may be asked of persons with all rows below them: views, questions, weights. No data."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
