"""A relay's calls to SuperLink and SuperNode: what Flower does not promise of them.

Tried with Flower 1.41 and 1.42; ``tests/common/flower/test_flower.py``
says what is relied on of each name. The SuperNode's own process is another file, with what a relay
would hold for nothing.
"""

from __future__ import annotations

from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_task_output

__all__ = [
    "FleetHttpClient",
    "NodeAuthHttpInterceptor",
    "pull_task_input",
    "push_task_output",
]
