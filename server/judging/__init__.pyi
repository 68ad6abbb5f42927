from .planned import Sought, expected_people, forecast_evaluation, plan_evaluation
from .result import (
    Judgement,
    describe,
    describe_distance,
    judge_again,
    read_judgement,
    write_judgement,
)

__all__ = [
    "Judgement",
    "Sought",
    "describe",
    "describe_distance",
    "expected_people",
    "forecast_evaluation",
    "judge_again",
    "plan_evaluation",
    "read_judgement",
    "write_judgement",
]
