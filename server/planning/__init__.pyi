from .advice import advise, remarks, what_helps
from .forecast import Forecast
from .planner import new_plan

__all__ = ["Forecast", "advise", "new_plan", "remarks", "what_helps"]
