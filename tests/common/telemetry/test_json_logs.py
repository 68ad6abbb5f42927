"""With JSON logs every line is JSON: other libraries, warnings, threads and errors too."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_SPEAK = """
import logging, sys, threading, warnings
import flwr.supercore.logger as flower
from silosynth.common.cli.console import emit_error, say
from silosynth.common.errors import RunFailed
from silosynth.common.telemetry.telemetry import log, start_logging, take_in_others
start_logging(as_json=True)
take_in_others(text={text})
flower.FLOWER_LOGGER.warning("\\x1b[93mzebra-7731\\x1b[0m of Flower")
logging.getLogger("uvicorn.error").error("zebra-7731 of uvicorn")
warnings.warn("zebra-7731 of a warning")
thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
say("a line for a person")
emit_error(RunFailed("it failed", hint="do this"), as_json=False)
log("ours", silo="north")
"""


@pytest.mark.parametrize("text", [True, False])
def test_every_line_is_json_and_text_of_others_is_passed_on_only_where_it_may(text: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SPEAK.format(text=text)], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.stdout == ""
    events = [line["event"] for line in lines]
    assert events == ["library"] * 3 + ["failed", "said", "error", "ours"]
    assert ("zebra-7731" in done.stderr) is text
    assert [line.get("logger") for line in lines[:3]] == ["flwr", "uvicorn.error", "py.warnings"]
    if text:
        assert lines[0]["text"] == "zebra-7731 of Flower"
    assert (lines[5]["code"], lines[5]["hint"]) == ("run-failed", "do this")
