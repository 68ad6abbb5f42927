from .detect import import_schema
from .omop import find_description
from .several.tables import import_tables

__all__ = ["find_description", "import_schema", "import_tables"]
