from .advice import advise, remarks, what_helps
from .forecast import Forecast
from .links import LinkForecast, words_of_links
from .planner import new_plan
from .tables import new_tables_plan
from .tables_forecast import forecast_tables

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
