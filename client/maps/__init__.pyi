from .check import check_map, check_reviewed
from .effect import Effect
from .read import FARTHEST, NEAREST, as_number, lacking, map_column, map_table, read_by, seen_as
from .silo_map import (
    ABSENT,
    NO_MAP,
    ColumnMap,
    SiloMap,
    dump_map,
    load_map,
    own_words,
    spelled_by_silo,
    words_of,
)

__all__ = [
    "ABSENT",
    "FARTHEST",
    "NEAREST",
    "NO_MAP",
    "ColumnMap",
    "Effect",
    "SiloMap",
    "as_number",
    "check_map",
    "check_reviewed",
    "dump_map",
    "lacking",
    "load_map",
    "map_column",
    "map_table",
    "own_words",
    "read_by",
    "seen_as",
    "spelled_by_silo",
    "words_of",
]
