from .member import Once, SumMember, each_time
from .store import SUMS, SumStore

__all__ = ["SUMS", "Once", "SumMember", "SumStore", "each_time"]
