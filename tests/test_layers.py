"""The folders may import one another in one direction only, and frameworks only at named edges."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("common", "client", "server", "simulations")
ALLOWED = {
    "common": {"common"},
    "client": {"common", "client"},
    "server": {"common", "server"},
    "simulations": set(PARTS),
}
EDGES = {
    "flwr": {
        "client/app.py",
        "client/relay.py",
        "client/session.py",
        "server/app.py",
        "server/channel.py",
        "server/superlink.py",
        "simulations/cluster.py",
    },
    "httpx": {"client/relay.py", "client/session.py", "server/superlink.py"},
    "ray": {"client/count_ray.py", "simulations/cluster.py"},
    "pandas": {"common/frames.py", "simulations/demo.py"},
    "dp_accounting": {"common/privacy_loss.py", "common/sum_privacy.py"},
    "scipy": {"common/privacy_loss.py"},
    "numba": {"client/clip.py", "client/kernel_numba.py"},
    "duckdb": {"client/source_duckdb.py"},
    "adbc_driver_postgresql": {"client/source_postgresql.py"},
    "grpc": {"client/rpc.py", "client/rpc_server.py"},
    "grpc_health": {"client/rpc_server.py"},
    "opendp": set(),
    "peft": {"common/pretrained.py"},
    "transformers": {"common/pretrained.py"},
    "torch": {
        "common/autoregressive.py",
        "common/pretrained.py",
        "common/pretrained_network.py",
        "client/gradient.py",
        "common/chain.py",
        "server/generator.py",
        "server/generator_images.py",
        "server/generator_pairs.py",
        "server/generator_target.py",
        "server/torch_engine.py",
    },
    "sqlite3": {
        "client/ledger.py",
        "client/ledger_batch.py",
        "client/ledger_fence.py",
        "client/ledger_file.py",
        "client/ledger_rows.py",
        "client/ledger_waiting.py",
    },
    "pickle": set(),
    "random": set(),
    "statsmodels": {"simulations/demo.py"},
    "sklearn": {"simulations/demo_digits.py"},
}


def _modules(part: str) -> list[Path]:
    return sorted((ROOT / part).glob("*.py"))


def _imports(path: Path) -> set[str]:
    """Return every imported module name, wherever in the file the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_only_what_lies_below_it(part: str) -> None:
    for path in _modules(part):
        for name in _imports(path):
            if name.startswith("silosynth."):
                assert name.split(".")[1] in ALLOWED[part], f"{path} imports {name}"


@pytest.mark.parametrize("framework", sorted(EDGES))
def test_a_framework_is_imported_at_its_edges_only(framework: str) -> None:
    for part in PARTS:
        for path in _modules(part):
            used = {n.split(".")[0] for n in _imports(path)}
            where = path.relative_to(ROOT).as_posix()
            assert framework not in used or where in EDGES[framework], f"{where}: {framework}"


def test_the_parts_are_not_imported_by_their_bare_names() -> None:
    for part in PARTS:
        for path in _modules(part):
            assert not {n.split(".")[0] for n in _imports(path)} & set(PARTS), path


def test_folders_are_flat_so_that_the_wheel_holds_every_module() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["packages"] == [f"silosynth.{p}" for p in PARTS]
    for part in PARTS:
        assert not [p for p in (ROOT / part).rglob("*.py") if p.parent != ROOT / part]
        assert (ROOT / part / "py.typed").exists()
        assert (ROOT / part / "__init__.py").exists()


def test_every_entry_point_of_the_command_line_can_be_loaded() -> None:
    found = entry_points(group="silosynth.commands")
    assert {e.name for e in found} == set(PARTS)
    assert all(callable(e.load()) for e in found)


RELAY = ("client/rpc.py", "client/contract.py", "client/app.py", "client/relay.py")
PRIVATE = ("silosynth.client.ledger", "silosynth.client.table", "silosynth.client.gateway")


@pytest.mark.parametrize("path", RELAY)
def test_what_a_relay_imports_can_reach_no_table_ledger_or_key(path: str) -> None:
    code = (
        f"import sys, silosynth.{path.removesuffix('.py').replace('/', '.')}; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {*PRIVATE, "sqlite3", "pandas", "pyarrow"}


def test_fitting_and_drawing_load_no_accountant() -> None:
    code = "import sys, silosynth.server.fitting, silosynth.common.sampler; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"dp_accounting", "scipy", "pandas"}
