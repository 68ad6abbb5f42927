from .any_schema import (
    AnySchema,
    any_schema_of_text,
    dump_any_schema,
    load_any_schema,
)
from .arrange import above, below, choose_parents
from .families import Families, table_seed
from .table import Table, ancestors, drawable, number_attribute, number_name
from .tables import (
    TABLES_VERSION,
    TablesSchema,
    dump_tables,
    list_tables_faults,
    load_tables,
    parse_tables,
    read_tables_document,
    table_like,
    tables_json_schema,
)

__all__ = [
    "TABLES_VERSION",
    "AnySchema",
    "Families",
    "Table",
    "TablesSchema",
    "above",
    "ancestors",
    "any_schema_of_text",
    "below",
    "choose_parents",
    "drawable",
    "dump_any_schema",
    "dump_tables",
    "list_tables_faults",
    "load_any_schema",
    "load_tables",
    "number_attribute",
    "number_name",
    "parse_tables",
    "read_tables_document",
    "table_like",
    "table_seed",
    "tables_json_schema",
]
