from .health import gateway_pages, is_healthy
from .messages import make_relay
from .relay import RelaySettings, serve_relay

__all__ = ["RelaySettings", "gateway_pages", "is_healthy", "make_relay", "serve_relay"]
