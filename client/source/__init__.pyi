from .bounding import load_secret, make_secret, rank_rows
from .caches.code_cache import forget_codes
from .caches.file_state import look_at, watch_files
from .files import list_files
from .from_duckdb import require_select
from .from_postgresql import Snapshot
from .open import files_of, open_reader, open_snapshot, open_source, open_table
from .people import Part, People, Splitting, splitting
from .spec import Bounding, Reader, Source, SourceFormat, SourceSpec, ValueQuestion
from .sql import is_numeric, quote
from .stream import StreamRows
from .survey import OF_RULE, Survey, Tally, take_survey
from .table import (
    ARROW,
    CSV,
    ENDINGS,
    PARQUET,
    TableSource,
    Wanted,
    is_text_file,
    read_table,
    read_untyped,
    stored_schema,
    table_name,
    tables_in,
)

__all__ = [
    "ARROW",
    "CSV",
    "ENDINGS",
    "OF_RULE",
    "PARQUET",
    "Bounding",
    "Part",
    "People",
    "Reader",
    "Snapshot",
    "Source",
    "SourceFormat",
    "SourceSpec",
    "Splitting",
    "StreamRows",
    "Survey",
    "TableSource",
    "Tally",
    "ValueQuestion",
    "Wanted",
    "files_of",
    "forget_codes",
    "is_numeric",
    "is_text_file",
    "list_files",
    "load_secret",
    "look_at",
    "make_secret",
    "open_reader",
    "open_snapshot",
    "open_source",
    "open_table",
    "quote",
    "rank_rows",
    "read_table",
    "read_untyped",
    "require_select",
    "splitting",
    "stored_schema",
    "table_name",
    "tables_in",
    "take_survey",
    "watch_files",
]
