"""The SuperNode's own parts: what Flower does not promise of them.

Tried with Flower 1.41 and 1.42; ``tests/common/flower/test_flower.py``
says what is relied on of each name.
"""

from __future__ import annotations

from flwr.supercore.retry import RetryInvoker, constant, make_simple_http_retry_invoker
from flwr.supernode import fleet_http_connection
from flwr.supernode.cli import flower_supernode
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_task_output

__all__ = [
    "FleetHttpClient",
    "NodeAuthHttpInterceptor",
    "RetryInvoker",
    "constant",
    "fleet_http_connection",
    "flower_supernode",
    "make_simple_http_retry_invoker",
    "pull_task_input",
    "push_task_output",
]
