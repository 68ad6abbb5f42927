from .advice import advise, remarks, what_helps
from .forecast import Forecast, forecast_tables
from .links import LinkForecast, words_of_links
from .planner import new_plan
from .tables import new_tables_plan

__all__ = [
    "Forecast",
    "LinkForecast",
    "advise",
    "forecast_tables",
    "new_plan",
    "new_tables_plan",
    "remarks",
    "what_helps",
    "words_of_links",
]
