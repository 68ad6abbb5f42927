from .planned import (
    KEPT,
    Sought,
    expected_people,
    forecast_evaluation,
    judging_plan,
    judging_terms,
    plan_evaluation,
)
from .result import (
    Judgement,
    check_judges,
    describe,
    describe_distance,
    judge_candidate,
    read_candidates,
    read_found,
    read_judgement,
    refuse_evaluation,
    write_judgement,
)
from .words import judgement_words

__all__ = [
    "KEPT",
    "Judgement",
    "Sought",
    "check_judges",
    "describe",
    "describe_distance",
    "expected_people",
    "forecast_evaluation",
    "judge_candidate",
    "judgement_words",
    "judging_plan",
    "judging_terms",
    "plan_evaluation",
    "read_candidates",
    "read_found",
    "read_judgement",
    "refuse_evaluation",
    "write_judgement",
]
