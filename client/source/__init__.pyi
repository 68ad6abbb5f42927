from .bounding import load_secret, make_secret, rank_rows
from .caches.code_cache import forget_codes
from .caches.file_state import watch_files
from .files import list_files
from .open import open_source, open_table
from .parting import Part, Splitting, splitting
from .people import People
from .spec import Bounding, Source, SourceFormat, SourceSpec, ValueQuestion
from .stream import StreamRows
from .survey import OF_RULE, take_survey
from .table import (
    CSV,
    ENDINGS,
    PARQUET,
    TableSource,
    is_text_file,
    read_table,
    read_untyped,
    stored_schema,
    table_name,
    tables_in,
)

__all__ = [
    "CSV",
    "ENDINGS",
    "OF_RULE",
    "PARQUET",
    "Bounding",
    "Part",
    "People",
    "Source",
    "SourceFormat",
    "SourceSpec",
    "Splitting",
    "StreamRows",
    "TableSource",
    "ValueQuestion",
    "forget_codes",
    "is_text_file",
    "list_files",
    "load_secret",
    "make_secret",
    "open_source",
    "open_table",
    "rank_rows",
    "read_table",
    "read_untyped",
    "splitting",
    "stored_schema",
    "table_name",
    "tables_in",
    "take_survey",
    "watch_files",
]
