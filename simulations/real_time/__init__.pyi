from .cli import RowFlags, WorldFlags, live_in_world

__all__ = ["RowFlags", "WorldFlags", "live_in_world"]
