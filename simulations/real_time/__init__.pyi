from .live import Live, Once
from .wire import wired

__all__ = ["Live", "Once", "wired"]
