from .join import Joined, join_tables
from .owners import BY, KEY, PERSON
from .source import FamilyRows
from .survey import find_tables, passed_over, survey_families

__all__ = [
    "BY",
    "KEY",
    "PERSON",
    "FamilyRows",
    "Joined",
    "find_tables",
    "join_tables",
    "passed_over",
    "survey_families",
]
