from .across import (
    Across,
    bounding,
    impossible_across,
    parse_across,
    step_scales,
    swaps_rows,
    with_last,
)
from .any_schema import (
    AnySchema,
    any_schema_of_text,
    dump_any_schema,
    load_any_schema,
)
from .arrange import above, below, choose_parents
from .families import Families, table_seed
from .gaps import GapScale, gap_name
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
    "Across",
    "AnySchema",
    "Families",
    "GapScale",
    "Table",
    "TablesSchema",
    "above",
    "ancestors",
    "any_schema_of_text",
    "below",
    "bounding",
    "choose_parents",
    "drawable",
    "dump_any_schema",
    "dump_tables",
    "gap_name",
    "impossible_across",
    "list_tables_faults",
    "load_any_schema",
    "load_tables",
    "number_attribute",
    "number_name",
    "parse_across",
    "parse_tables",
    "read_tables_document",
    "step_scales",
    "swaps_rows",
    "table_like",
    "table_seed",
    "tables_json_schema",
    "with_last",
]
