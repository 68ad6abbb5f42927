from .cli import register_audit
from .game import Ran

__all__ = ["Ran", "register_audit"]
