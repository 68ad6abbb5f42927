"""Logs and metrics tell operators what happens, and never what the data say."""

from __future__ import annotations

import io
import json
import logging
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from silosynth.common.errors import InvalidArgument
from silosynth.common.telemetry.pages import TelemetryServer
from silosynth.common.telemetry.telemetry import Role, Telemetry, log, start_logging
from tests.support.patience import patience


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=patience(5)) as page:
            return page.status, page.read().decode()
    except HTTPError as err:
        with err:
            return err.code, err.read().decode()


def test_metrics_and_health_are_served_on_loopback() -> None:
    telemetry = Telemetry(role=Role.GATEWAY)
    telemetry.answered("measure", seconds=0.5, received_bytes=100, sent_bytes=2000)
    telemetry.refused("budget-exceeded")
    telemetry.budget(scope="project", name="p", spent_rho=0.25, remaining_rho=0.75)
    telemetry.entered("one-way", silos_answered=1)
    telemetry.entered("tree", silos_answered=2)
    ready = [False]
    with TelemetryServer(telemetry, port=0, healthy=lambda: ready[0]) as server:
        assert _get(server.port, "/health") == (503, "not ready\n")
        ready[0] = True
        assert _get(server.port, "/health") == (200, "ok\n")
        assert _get(server.port, "/other")[0] == 404
        status, text = _get(server.port, "/metrics")
    assert status == 200
    lines = set(text.splitlines())
    assert {
        'silosynth_requests_total{kind="measure",role="gateway"} 1.0',
        'silosynth_refusals_total{code="budget-exceeded",role="gateway"} 1.0',
        'silosynth_bytes_total{direction="sent",role="gateway"} 2000.0',
        'silosynth_budget_remaining_rho{name="p",scope="project"} 0.75',
        'silosynth_budget_spent_rho{name="p",scope="project"} 0.25',
        'silosynth_phase{phase="tree"} 1.0',
        'silosynth_silos_answered{phase="tree"} 2.0',
    } <= lines
    assert 'silosynth_phase{phase="one-way"} 1.0' not in lines


def test_what_is_worked_out_for_the_page_is_worked_out_when_it_is_asked_for() -> None:
    telemetry, asked = Telemetry(role=Role.GATEWAY), []

    def state() -> None:
        asked.append(1)
        telemetry.budget(scope="project", name="p", spent_rho=len(asked), remaining_rho=0.0)

    with TelemetryServer(telemetry, port=0, before_metrics=state) as server:
        _get(server.port, "/health")
        assert not asked
        for times in (1, 2):
            page = _get(server.port, "/metrics")[1]
            assert f'silosynth_budget_spent_rho{{name="p",scope="project"}} {times}.0' in page


def test_metrics_are_never_served_to_the_network() -> None:
    with pytest.raises(InvalidArgument, match="loopback"):
        TelemetryServer(Telemetry(role=Role.RELAY), port=0, host="0.0.0.0")


def test_a_taken_port_is_named() -> None:
    telemetry = Telemetry(role=Role.RELAY)
    with (
        TelemetryServer(telemetry, port=0) as server,
        pytest.raises(InvalidArgument, match=str(server.port)),
    ):
        TelemetryServer(telemetry, port=server.port)


def test_log_lines_are_json_and_hold_no_text_of_an_exception() -> None:
    stream = io.StringIO()
    start_logging(as_json=True, stream=stream)
    log("phase-asked", phase="one-way", silos=3)
    try:
        raise ValueError("zebra-7731")
    except ValueError:
        logging.getLogger("silosynth").exception("request-failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["phase"], first["silos"]) == ("phase-asked", "one-way", 3)
    assert second["exception"] == "ValueError"
    assert "zebra-7731" not in stream.getvalue()


def test_log_lines_for_people_hold_the_same_facts() -> None:
    stream = io.StringIO()
    start_logging(as_json=False, stream=stream)
    log("silo-absent", silo="north\nforged line", level=logging.WARNING)
    assert stream.getvalue().count("\n") == 1
    assert 'silo-absent silo="north\\nforged line"' in stream.getvalue()
