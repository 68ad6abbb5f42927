from .advice import reason_for, remarks, what_helps
from .epochs import Calendar, EpochRun, new_series, next_epoch
from .forecast import Forecast, forecast_tables
from .links import LinkForecast, words_of_links
from .planner import new_plan, rows_that_crowd
from .tables import new_tables_plan

__all__ = [
    "Calendar",
    "EpochRun",
    "Forecast",
    "LinkForecast",
    "forecast_tables",
    "new_plan",
    "new_series",
    "new_tables_plan",
    "next_epoch",
    "reason_for",
    "remarks",
    "rows_that_crowd",
    "what_helps",
    "words_of_links",
]
