"""Whoever installs one part's packages has that part's commands, and is told of the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.patience import patience

SILO = {"jinja2", "statsmodels", "ray"}
COORDINATOR = {"numba", "grpc_health", "statsmodels", "ray"}
WITHOUT = """
import sys
absent = set(sys.argv.pop(1).split(","))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from silosynth.common.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


def test_a_silo_works_without_the_packages_of_the_others() -> None:
    assert _run(SILO, "silo", "check", "--help").returncode == 0
    assert "silosynth[simulation]" in _run(SILO, "--help").stdout
    refused = _run(SILO, "simulate")
    assert refused.returncode == 4
    assert "No such command 'simulate'" in refused.stderr
    assert "pip install 'silosynth[simulation]'" in refused.stderr


def test_a_gateway_without_its_packages_says_what_to_install() -> None:
    refused = _run({"grpc_health"}, "silo", "serve", "--policy", "silo.toml")
    assert refused.returncode == 4
    what = "the gateway needs grpc_health, which is not installed; install silosynth[silo]"
    assert refused.stderr == f"error: {what}\n"


def test_a_coordinator_works_without_the_packages_of_the_others(tmp_path: Path) -> None:
    assert _run(COORDINATOR, "run", "--help").returncode == 0
    refused = _run(COORDINATOR, "demo", "--out", str(tmp_path / "demo"))
    assert refused.returncode == 4
    assert "needs statsmodels, which is not installed" in refused.stderr


def _run(absent: set[str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, ",".join(sorted(absent)), *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=patience(120), check=False
    )
