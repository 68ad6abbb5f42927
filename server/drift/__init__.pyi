from .planned import forecast_drift, plan_drift
from .verdict import ALARM, Drifted, describe_drift, drift_words, find_drift

__all__ = [
    "ALARM",
    "Drifted",
    "describe_drift",
    "drift_words",
    "find_drift",
    "forecast_drift",
    "plan_drift",
]
