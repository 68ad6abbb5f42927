from .columns import complete

__all__ = ["complete"]
