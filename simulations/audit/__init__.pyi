from .cli import register_audit
from .game import Ran, Runs

__all__ = ["Ran", "Runs", "register_audit"]
