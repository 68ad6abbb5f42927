from .calibrate import match_one_way
from .network import NetworkKind, NetworkOptions, read_network
from .rounds import Learning, ask_round, begin, settings, shares_of, take_round
from .target import class_shares
from .train import train_generator

__all__ = [
    "Learning",
    "NetworkKind",
    "NetworkOptions",
    "ask_round",
    "begin",
    "class_shares",
    "match_one_way",
    "read_network",
    "settings",
    "shares_of",
    "take_round",
    "train_generator",
]
