from .member import SumMember
from .store import SUMS, SumStore

__all__ = ["SUMS", "SumMember", "SumStore"]
