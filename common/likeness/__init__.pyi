from .facts import FamiliesFacts
from .judge import judge_families, judge_folder
from .page import write_families_report

__all__ = ["FamiliesFacts", "judge_families", "judge_folder", "write_families_report"]
