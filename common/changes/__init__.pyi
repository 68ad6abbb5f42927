from .facts import ChangeFacts, encode_changes
from .judge import Release, compare_releases, load_release
from .page import write_changes

__all__ = [
    "ChangeFacts",
    "Release",
    "compare_releases",
    "encode_changes",
    "load_release",
    "write_changes",
]
