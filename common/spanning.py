"""A forest of edges, taken one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Node = TypeVar("Node", str, int)


def spanning_edges(
    edges: Iterable[tuple[Node, Node]], *, fits: Callable[[tuple[Node, Node]], bool] | None = None
) -> Iterator[tuple[Node, Node]]:
    """Yield the edges, in their order, that join what those before left apart (Kruskal 1956).

    Args: fits: asked of each edge that would join; one that does not fit is passed over.
    """
    parent: dict[Node, Node] = {}

    def root(node: Node) -> Node:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = parent[above]
            node = above
        return node

    for edge in edges:
        left, right = root(edge[0]), root(edge[1])
        if left != right and (fits is None or fits(edge)):
            parent[left] = right
            yield edge
