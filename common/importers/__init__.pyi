from .detect import import_schema
from .tables import find_description, import_tables

__all__ = ["find_description", "import_schema", "import_tables"]
