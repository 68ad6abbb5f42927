from .families import Families, table_seed
from .table import Table, number_name
from .tables import (
    TablesSchema,
    has_tables,
    list_tables_faults,
    load_tables,
    read_tables_document,
    tables_json_schema,
)

__all__ = [
    "Families",
    "Table",
    "TablesSchema",
    "has_tables",
    "list_tables_faults",
    "load_tables",
    "number_name",
    "read_tables_document",
    "table_seed",
    "tables_json_schema",
]
