"""The SuperNode that a relay forks first is a process like any other that it starts."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from silosynth.client.relay import process
from silosynth.client.relay.first import FirstNode
from silosynth.common.errors import ConnectionFailed
from tests.support.patience import patience

# What a relay does, with something else in the place of Flower's SuperNode.
RELAY = """
import os, signal, subprocess, sys, time
from types import ModuleType
from silosynth.client.relay import first
node = ModuleType("node")
def main(*, seconds, stuck, heard):
    {body}
node.main = main
sys.modules[first.SUPERNODE] = node
forked = first.fork_first_node()
def start(piped):
    forked.start(["--a", "b"], limits=dict(seconds=0.5, stuck=70, heard=None), piped=piped)
{rest}
"""


def _ran(body: str, rest: str) -> list[str]:
    """Return the words that a relay and its SuperNode write."""
    done = subprocess.run(
        [sys.executable, "-c", RELAY.format(body=body, rest=rest)],
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(60),
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("pass", 1),  # one that returns has failed: it ends the process itself
        ("os._exit(stuck)", 70),
        ("os.kill(os.getpid(), 9)", -9),
    ],
)
def test_how_it_ended_is_said_as_of_any_process(body: str, code: int) -> None:
    ends = "start(False); print(forked.wait(60), forked.poll()); forked.kill()"
    assert _ran(body, ends) == [str(code)] * 2


def test_a_relay_that_cannot_know_how_it_ended_knows_that_it_did() -> None:
    """As Popen has it: whoever starts a relay may ignore SIGCHLD, and that is inherited."""
    rest = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
start(False)
print(forked.wait(60), forked.poll())
forked.terminate()
"""
    assert _ran("os._exit(stuck)", rest) == ["0"] * 2


def test_it_gets_its_options_and_nothing_to_read_and_writes_where_it_is_told() -> None:
    body = "print(sys.argv[1:], seconds, stuck, heard, repr(sys.stdin.read()), flush=True)"
    piped = "start(True); print('piped', forked.stdout.read().decode())"
    assert _ran(body, piped) == ["piped", "['--a',", "'b']", "0.5", "70", "None", "''"]
    assert _ran(body, "start(False); forked.wait(60)") == _ran(body, piped)[1:]


def test_it_is_ended_by_signals_though_the_relay_takes_them_otherwise() -> None:
    rest = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
start(True)
forked.stdout.readline()
try:
    forked.wait(0.1)
except subprocess.TimeoutExpired:
    print(forked.poll())
forked.terminate()
print(forked.wait(60))
"""
    assert _ran("print('up', flush=True); time.sleep(600)", rest) == ["None", "-15"]


@pytest.mark.parametrize("began", [False, True])
def test_it_ends_with_its_relay(began: bool) -> None:
    """Its standard output, which nobody else holds, is closed by its end."""
    begin = "start(False)" if began else "pass"
    assert _ran("time.sleep(600)", f"{begin}; os._exit(0)") == []


def test_it_sends_nobody_anything_of_its_own() -> None:
    rest = """
from flwr.supercore import telemetry
print(telemetry.FLWR_TELEMETRY_ENABLED, os.environ["FLWR_DISABLE_UPDATE_CHECK"])
"""
    assert _ran("pass", "import flwr.supercore.telemetry\nfirst.be_quiet()" + rest) == ["0", "1"]


def test_where_no_process_can_be_made_it_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> FirstNode:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(process, "fork_first_node", full)
    words = ("superlink", "silo", "gateway", "key")
    assert process.main([f"--{word}=x" for word in words]) == ConnectionFailed.exit_code
    said = "error: no process can be made for a SuperNode: Resource temporarily unavailable\n"
    assert capsys.readouterr().err == said
