from .member import SumMember
from .store import SumStore

__all__ = ["SumMember", "SumStore"]
