from .detect import import_schema

__all__ = ["import_schema"]
