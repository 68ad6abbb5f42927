from .choice import Candidate, choose_pairs, unexplained
from .planned import forecast_drift, plan_drift
from .renewal import plan_renewal
from .verdict import ALARM, describe_drift, drift_words, find_drift, read_moved

__all__ = [
    "ALARM",
    "Candidate",
    "choose_pairs",
    "describe_drift",
    "drift_words",
    "find_drift",
    "forecast_drift",
    "plan_drift",
    "plan_renewal",
    "read_moved",
    "unexplained",
]
