from .source import FamilyRows
from .survey import find_tables, survey_families

__all__ = ["FamilyRows", "find_tables", "survey_families"]
