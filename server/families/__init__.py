"""The method for several tables: what its phases ask, and the chains that it fits to the answers.

See docs/decisions/093-chains-of-regressions.md.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
