from .planned import Sought, expected_people, forecast_evaluation, plan_evaluation
from .result import (
    Judgement,
    describe,
    describe_distance,
    judge_again,
    read_judgement,
    write_judgement,
)
from .words import judgement_words

__all__ = [
    "Judgement",
    "Sought",
    "describe",
    "describe_distance",
    "expected_people",
    "forecast_evaluation",
    "judge_again",
    "judgement_words",
    "plan_evaluation",
    "read_judgement",
    "write_judgement",
]
