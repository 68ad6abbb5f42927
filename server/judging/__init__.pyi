from .planned import Sought, forecast_evaluation, plan_evaluation, witness_cells
from .result import Judgement, judge_again, read_judgement, write_judgement

__all__ = [
    "Judgement",
    "Sought",
    "forecast_evaluation",
    "judge_again",
    "plan_evaluation",
    "read_judgement",
    "witness_cells",
    "write_judgement",
]
