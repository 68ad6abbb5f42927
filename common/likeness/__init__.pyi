from .facts import FamiliesFacts, TableFacts
from .judge import Side, judge_families, judge_folder
from .page import write_families_report
from .read import find_files, read_families
from .rows import Families, Held, Level
from .scores import score_persons, score_table

__all__ = [
    "Families",
    "FamiliesFacts",
    "Held",
    "Level",
    "Side",
    "TableFacts",
    "find_files",
    "judge_families",
    "judge_folder",
    "read_families",
    "score_persons",
    "score_table",
    "write_families_report",
]
