from .pages import Page, TelemetryServer
from .telemetry import (
    Role,
    Telemetry,
    log,
    log_file,
    logs_json,
    start_logging,
    strip_colours,
    take_in_others,
)

__all__ = [
    "Page",
    "Role",
    "Telemetry",
    "TelemetryServer",
    "log",
    "log_file",
    "logs_json",
    "start_logging",
    "strip_colours",
    "take_in_others",
]
