from .choice import Candidate, leaves_coarse, unexplained
from .planned import forecast_drift, plan_drift
from .renewal import plan_renewal
from .verdict import ALARM, describe_drift, drift_words, find_drift, read_moved

__all__ = [
    "ALARM",
    "Candidate",
    "describe_drift",
    "drift_words",
    "find_drift",
    "forecast_drift",
    "leaves_coarse",
    "plan_drift",
    "plan_renewal",
    "read_moved",
    "unexplained",
]
