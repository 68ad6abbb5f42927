"""Building an app's bundle: what Flower does not promise of it.

Tried with Flower 1.41 and 1.42; ``tests/common/flower/test_flower.py``
says what is relied on of each name.
"""

from __future__ import annotations

from flwr.cli.build import build_fab_from_disk
from flwr.supercore.fab import Fab

__all__ = [
    "Fab",
    "build_fab_from_disk",
]
