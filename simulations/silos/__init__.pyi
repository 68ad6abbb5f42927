from .directory import (
    SiloDirectory,
    alone,
    make_silos,
    open_gateway,
    refill_silos,
    require_checkpoint,
    secrets_of,
)
from .kept import KeptGateways

__all__ = [
    "KeptGateways",
    "SiloDirectory",
    "alone",
    "make_silos",
    "open_gateway",
    "refill_silos",
    "require_checkpoint",
    "secrets_of",
]
