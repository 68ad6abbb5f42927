from .device import Device
from .graphical_model import GraphicalModel
from .junction_tree import build_junction_tree

__all__ = ["Device", "GraphicalModel", "build_junction_tree"]
