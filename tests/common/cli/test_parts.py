"""Whoever installs one part's packages has that part's commands, and is told of the others."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.patience import patience

WITHOUT = """
import sys
absent = set(sys.argv.pop(1).split(","))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from silosynth.common.cli.app import run
commands = [c.split() for c in sys.argv[1:]] if " " in sys.argv[1] else [sys.argv[1:]]
sys.exit(max(run(words) for words in commands))
"""


def _brought(*extras: str) -> set[str]:
    """Return the packages that silosynth with these extras brings, by their normal names."""
    brought: set[str] = set()
    ahead = [Requirement(f"silosynth[{','.join(extras)}]")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while ahead:
        asked = ahead.pop()
        name, wanted = canonicalize_name(asked.name), frozenset(asked.extras)
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        brought.add(name)
        for text in requires(name) or ():
            more = Requirement(text)
            marked = more.marker is None or any(
                more.marker.evaluate({"extra": extra}) for extra in (*wanted, "")
            )
            if marked:
                ahead.append(more)
    return brought


def _absent(*extras: str) -> set[str]:
    """Return the modules of all that is installed here and that these extras do not bring."""
    brought = _brought(*extras)
    owners = packages_distributions().items()
    absent = {m for m, of in owners if not {canonicalize_name(name) for name in of} & brought}
    return absent - sys.stdlib_module_names - {"silosynth", "tests", "bench"}


SILO, COORDINATOR = _absent("silo"), _absent("coordinator")


def test_what_is_absent_is_what_other_extras_bring() -> None:
    assert {"adbc_driver_postgresql", "ray", "statsmodels", "torch", "sklearn", "faker"} <= SILO
    assert {"duckdb", "numba", "ray", "statsmodels"} <= COORDINATOR
    assert not (SILO | COORDINATOR) & {"flwr", "numpy", "pyarrow", "pydantic", "typer"}


OF_A_SILO = ("silo pending", "silo serve", "silo page", "silo evaluate", "relay", "schema draft")
OF_A_COORDINATOR = ("plan new", "submit", "coordinator", "page", "run", "sample", "evaluate")


@pytest.mark.parametrize(
    ("commands", "absent"), [(OF_A_SILO, SILO), (OF_A_COORDINATOR, COORDINATOR)]
)
def test_each_command_of_a_part_is_there_with_its_extra_alone(
    commands: tuple[str, ...], absent: set[str]
) -> None:
    done = _run(absent, *(f"{words} --help" for words in commands))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_silo_works_without_the_packages_of_the_others() -> None:
    absent = SILO | {"jinja2"}
    assert _run(absent, "silo", "check", "--help").returncode == 0
    assert "silosynth[simulation]" in _run(absent, "--help").stdout
    refused = _run(absent, "simulate")
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
    refused = _run({"statsmodels", "ray"}, "demo", "--out", str(tmp_path / "demo"))
    assert refused.returncode == 4
    assert "needs statsmodels, which is not installed" in refused.stderr


def _run(absent: set[str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, ",".join(sorted(absent)), *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=patience(120), check=False
    )
