from .join import Joined, join_tables
from .owners import BY, KEY, PERSON
from .source import FamilyRows
from .survey import find_tables, survey_families

__all__ = [
    "BY",
    "KEY",
    "PERSON",
    "FamilyRows",
    "Joined",
    "find_tables",
    "join_tables",
    "survey_families",
]
