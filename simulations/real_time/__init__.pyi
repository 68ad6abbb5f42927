from .live import Live, check_real_time
from .wire import wired

__all__ = ["Live", "check_real_time", "wired"]
