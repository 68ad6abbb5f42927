from .certificates import WARN_DAYS, Expiry, days_left, expiry_words, served_days_left
from .ports import free_port
from .proxies import past_proxies
from .superlink import certificate_words, clock_hint, clock_words, look_at
from .time_limits import Overdue, repeated, within

__all__ = [
    "WARN_DAYS",
    "Expiry",
    "Overdue",
    "certificate_words",
    "clock_hint",
    "clock_words",
    "days_left",
    "expiry_words",
    "free_port",
    "look_at",
    "past_proxies",
    "repeated",
    "served_days_left",
    "within",
]
