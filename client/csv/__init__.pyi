from .dialects import sniff_dialect
from .files import (
    as_plain_text,
    bad_lines_words,
    count_bad_lines,
    csv_columns,
    csv_fault,
    csv_options,
    declared_dialect,
    default_dialect,
    header_fields,
    name_columns,
    read_csv,
)
from .odd import is_legal, last_byte, read_chunks, read_oddly

__all__ = [
    "as_plain_text",
    "bad_lines_words",
    "count_bad_lines",
    "csv_columns",
    "csv_fault",
    "csv_options",
    "declared_dialect",
    "default_dialect",
    "header_fields",
    "is_legal",
    "last_byte",
    "name_columns",
    "read_chunks",
    "read_csv",
    "read_oddly",
    "sniff_dialect",
]
