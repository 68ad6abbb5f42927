from .chunks import (
    AGREE,
    ANSWER,
    IDENTIFY,
    RECORD,
    Chunks,
    Fields,
    pack,
    unpack_answers,
)
from .hosts import hosting
from .node import make_node

__all__ = [
    "AGREE",
    "ANSWER",
    "IDENTIFY",
    "RECORD",
    "Chunks",
    "Fields",
    "hosting",
    "make_node",
    "pack",
    "unpack_answers",
]
