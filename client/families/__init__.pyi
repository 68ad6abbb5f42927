from .survey import find_tables, survey_families

__all__ = ["find_tables", "survey_families"]
