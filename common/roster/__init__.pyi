from .kit import MOST_KIT_BYTES, Kit, kit_with, open_kit, seal_kit
from .request import (
    MOST_REQUEST_BYTES,
    Asked,
    JoinRequest,
    decode_request,
    encode_request,
    make_request,
)
from .roster import Difference, Roster, RosterChange, compare, make_change, open_change, seal_change
from .words import key_words, same_words

__all__ = [
    "MOST_KIT_BYTES",
    "MOST_REQUEST_BYTES",
    "Asked",
    "Difference",
    "JoinRequest",
    "Kit",
    "Roster",
    "RosterChange",
    "compare",
    "decode_request",
    "encode_request",
    "key_words",
    "kit_with",
    "make_change",
    "make_request",
    "open_change",
    "open_kit",
    "same_words",
    "seal_change",
    "seal_kit",
]
