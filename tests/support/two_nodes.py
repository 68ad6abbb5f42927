"""A Ray cluster of two nodes on this machine, in a folder of its own: no other is touched."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ray.cluster_utils import Cluster


@contextmanager
def two_nodes() -> Iterator[str]:
    """Give the address of a cluster of two nodes with a core each."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        nodes = {"num_cpus": 1, "temp_dir": folder, "object_store_memory": 80 * 2**20}
        made = Cluster(initialize_head=True, head_node_args=nodes | {"include_dashboard": False})
        made.add_node(**nodes)
        yield made.address
        made.shutdown()
