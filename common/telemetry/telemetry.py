"""What operators watch: log lines, Prometheus metrics and a health page. None holds a data value.

Gateway, relay and coordinator use it alike. A log line is an event's name and public facts: the
text of an exception is never one of them, because it may speak of the data.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

Fact = str | int | float | bool | None
_LOGGER = logging.getLogger("silosynth")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class Role(StrEnum):
    """Whose metrics they are."""

    GATEWAY = "gateway"
    RELAY = "relay"
    COORDINATOR = "coordinator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """The metrics of one process, in a registry of their own.

    >>> telemetry = Telemetry(role=Role.RELAY)
    >>> telemetry.answered("measure", seconds=0.2, received_bytes=10, sent_bytes=20)
    >>> b'silosynth_requests_total{kind="measure",role="relay"} 1.0' in telemetry.text()
    True
    """

    role: Role
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _counters: Mapping[str, Counter] = field(init=False)
    _gauges: Mapping[str, Gauge] = field(init=False)
    _seconds: Histogram = field(init=False)

    def __post_init__(self) -> None:
        registry = self.registry
        counters = {
            "requests": Counter(
                "silosynth_requests", "Requests handled.", ("role", "kind"), registry=registry
            ),
            "refusals": Counter(
                "silosynth_refusals", "Refusals by code.", ("role", "code"), registry=registry
            ),
            "notices": Counter(
                "silosynth_notices",
                "Notices that plans wait, by way and outcome.",
                ("way", "outcome"),
                registry=registry,
            ),
            "bytes": Counter(
                "silosynth_bytes",
                "Bytes of requests and answers.",
                ("role", "direction"),
                registry=registry,
            ),
        }
        gauges = {
            "spent": Gauge(
                "silosynth_budget_spent_rho",
                "Budget spent, as zCDP rho.",
                ("scope", "name"),
                registry=registry,
            ),
            "remaining": Gauge(
                "silosynth_budget_remaining_rho",
                "Budget left, as zCDP rho.",
                ("scope", "name"),
                registry=registry,
            ),
            "waiting": Gauge(
                "silosynth_plans_waiting",
                "Plans that wait for a person of the silo.",
                ("silo",),
                registry=registry,
            ),
            "connected": Gauge(
                "silosynth_silo_connected",
                "1 while letters get from the SuperLink to the silo's gateway.",
                ("silo",),
                registry=registry,
            ),
            "certificate": Gauge(
                "silosynth_certificate_days_left",
                "Days until a certificate ends.",
                ("certificate",),
                registry=registry,
            ),
            "phase": Gauge(
                "silosynth_phase", "1 for the step that a run is in.", ("phase",), registry=registry
            ),
            "silos": Gauge(
                "silosynth_silos_answered",
                "Silos that have answered in a phase.",
                ("phase",),
                registry=registry,
            ),
        }
        object.__setattr__(self, "_counters", counters)
        object.__setattr__(self, "_gauges", gauges)
        seconds = Histogram(
            "silosynth_seconds",
            "Seconds that a request took.",
            ("role", "kind"),
            buckets=_SECONDS,
            registry=registry,
        )
        object.__setattr__(self, "_seconds", seconds)

    def answered(self, kind: str, *, seconds: float, received_bytes: int, sent_bytes: int) -> None:
        """Count a request of ``kind`` (identify, propose, measure, deliver) and its answer."""
        role = self.role.value
        self._counters["requests"].labels(role=role, kind=kind).inc()
        self._counters["bytes"].labels(role=role, direction="received").inc(received_bytes)
        self._counters["bytes"].labels(role=role, direction="sent").inc(sent_bytes)
        self._seconds.labels(role=role, kind=kind).observe(seconds)

    def refused(self, code: str) -> None:
        """Count a refusal by the code of its error."""
        self._counters["refusals"].labels(role=self.role.value, code=code).inc()

    def budget(self, *, scope: str, name: str, spent_rho: float, remaining_rho: float) -> None:
        """State a scope's budget: rho spent and left, from the ledger's integers."""
        self._gauges["spent"].labels(scope=scope, name=name).set(spent_rho)
        self._gauges["remaining"].labels(scope=scope, name=name).set(remaining_rho)

    def notified(self, way: str, *, outcome: str) -> None:
        """Count a notice that was sent, or that failed."""
        self._counters["notices"].labels(way=way, outcome=outcome).inc()

    def waits(self, silo: str, *, plans: int) -> None:
        """State how many plans wait for a person of a silo."""
        self._gauges["waiting"].labels(silo=silo).set(plans)

    def connected(self, silo: str, *, is_connected: bool) -> None:
        """State whether letters get to a silo's gateway now."""
        self._gauges["connected"].labels(silo=silo).set(is_connected)

    def certificates(self, left: Mapping[str, float | None]) -> None:
        """State the days until certificates end, by name; nothing of one that was not seen."""
        for name, days in left.items():
            if days is not None:
                self._gauges["certificate"].labels(certificate=name).set(days)

    def entered(self, phase: str, *, silos_answered: int = 0) -> None:
        """State the step that a run is in, and how many silos have answered there."""
        self._gauges["phase"].clear()
        self._gauges["phase"].labels(phase=phase).set(1)
        self._gauges["silos"].labels(phase=phase).set(silos_answered)

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)


def log(event: str, *, level: int = logging.INFO, **facts: Fact) -> None:
    """Write one event with public facts: names, phases, codes, sizes that follow from a plan.

    Never give it the text of an exception or anything read from a table.
    """
    _LOGGER.log(level, event, extra={"facts": facts})


def start_logging(*, as_json: bool, stream: TextIO | None = None) -> None:
    """Send this project's events to ``stream`` (stderr) alone, as lines of text or of JSON."""
    for old in list(_LOGGER.handlers):
        _LOGGER.removeHandler(old)
    _add(logging.StreamHandler(stream or sys.stderr), as_json=as_json)


def logs_json() -> bool:
    """Tell whether this process' stream of events is JSON, where no other line should stand."""
    return any(isinstance(h.formatter, _JsonLines) for h in _LOGGER.handlers if _is_stream(h))


def strip_colours(text: str) -> str:
    """Return text without the codes that colour a terminal."""
    return _COLOURS.sub("", text)


def _is_stream(handler: logging.Handler) -> bool:
    """Tell a stream of events from a file that gets them too."""
    return not isinstance(handler, logging.FileHandler)


def take_in_others(*, text: bool) -> None:
    """Make JSON events of what other libraries log, warn of, or let a thread end in.

    Nothing else is on the stream of events then. Call it when those libraries are imported.

    Args: text: pass on what they say; never where one has read the data.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ForeignLines(text=text))
    for name in list(logging.root.manager.loggerDict):
        other = logging.getLogger(name)
        if other is not _LOGGER and other.handlers:
            other.handlers.clear()
            other.propagate = True
    logging.root.handlers[:] = [handler]
    logging.captureWarnings(True)
    threading.excepthook = lambda ended: log("failed", exception=_name(ended.exc_type))


def _name(kind: type[BaseException] | None) -> str:
    """Return the name of an error's type."""
    return kind.__name__ if kind is not None else "unknown"


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Append this project's events to a file too, as JSON lines, while the block lasts."""
    handler = _FileLines(path, encoding="utf-8")
    _add(handler, as_json=True)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        with suppress(OSError):
            handler.close()


def _add(handler: logging.Handler, *, as_json: bool) -> None:
    """Send events to one more place."""
    handler.setFormatter(_JsonLines() if as_json else _TextLines())
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False


class _FileLines(logging.FileHandler):
    """A file of events; a full disk ends no run by its log, and prints no traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Let a line go: who fills the disk is told where it matters."""


class _JsonLines(logging.Formatter):
    """One JSON object a line; of an exception the type alone."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line = _facts(record) | {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "event": str(record.msg),
        }
        return json.dumps(line, sort_keys=True, ensure_ascii=True)


class _ForeignLines(_JsonLines):
    """What another library logged: by whom, how grave, and its words if they may pass."""

    def __init__(self, *, text: bool) -> None:
        super().__init__()
        self._text = text

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, Fact] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "event": "library",
            "logger": record.name,
        }
        if self._text:
            line["text"] = strip_colours(record.getMessage())
        return json.dumps(line, sort_keys=True, ensure_ascii=True)


class _TextLines(logging.Formatter):
    """Time, event and facts in one line; of an exception the type alone."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        facts = " ".join(f"{k}={json.dumps(v)}" for k, v in _facts(record).items())
        return f"{self.formatTime(record, '%H:%M:%S')} {record.msg} {facts}".rstrip()


def _facts(record: logging.LogRecord) -> dict[str, Fact]:
    """Return the facts of an event, and the type of an exception if there is one."""
    facts: dict[str, Fact] = dict(getattr(record, "facts", {}))
    if record.exc_info and record.exc_info[0] is not None:
        facts["exception"] = record.exc_info[0].__name__
    return facts
