"""The SuperNode's own process: what Flower does not promise of it.

Tried with Flower 1.41 and 1.42; ``tests/common/flower/test_flower.py``
says what is relied on of each name.
"""

from __future__ import annotations

from flwr.supercore.retry import RetryInvoker, constant, make_simple_http_retry_invoker
from flwr.supernode import fleet_http_connection
from flwr.supernode.cli import flower_supernode

__all__ = [
    "RetryInvoker",
    "constant",
    "fleet_http_connection",
    "flower_supernode",
    "make_simple_http_retry_invoker",
]
