"""Whoever installs one part's packages has that part's commands, and is told of the others."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.patience import patience

WITHOUT = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
absent = set(sys.argv.pop(1).split(","))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from silosynth.common.cli.app import run
said = []
for words in sys.argv[1:]:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = run(words.split())
    said.append({"code": code, "out": out.getvalue(), "err": err.getvalue()})
print(json.dumps(said))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


OWNERS = packages_distributions()


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
    absent = {
        m for m, of in OWNERS.items() if not {canonicalize_name(name) for name in of} & brought
    }
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
    assert [(said.code, said.err) for said in done] == [(0, "")] * len(commands)


def test_a_silo_works_without_the_packages_of_the_others() -> None:
    check, shown, refused = _run(SILO | {"jinja2"}, "silo check --help", "--help", "simulate")
    assert check.code == 0
    assert "silosynth[simulation]" in shown.out
    assert refused.code == 4
    assert "No such command 'simulate'" in refused.err
    assert "pip install 'silosynth[simulation]'" in refused.err


def test_a_gateway_without_its_packages_says_what_to_install() -> None:
    (refused,) = _run({"grpc_health"}, "silo serve --policy silo.toml")
    assert refused.code == 4
    what = "the gateway needs grpc_health, which is not installed; install silosynth[silo]"
    assert refused.err == f"error: {what}\n"


def test_a_coordinator_works_without_the_packages_of_the_others(tmp_path: Path) -> None:
    assert [said.code for said in _run(COORDINATOR, "run --help")] == [0]
    (refused,) = _run({"statsmodels", "ray"}, f"demo --out {tmp_path / 'demo'}")
    assert refused.code == 4
    assert "needs statsmodels, which is not installed" in refused.err


def _run(absent: set[str], *commands: str) -> list[Said]:
    """Run commands, one after the other in one interpreter, where some modules are absent."""
    words = [sys.executable, "-c", WITHOUT, ",".join(sorted(absent)), *commands]
    done = subprocess.run(words, capture_output=True, text=True, timeout=patience(120), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [Said(**said) for said in json.loads(done.stdout)]
