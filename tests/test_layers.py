"""The folders may import one another in one direction only, and frameworks only at named edges."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("common", "client", "server", "simulations")
GROUND = "common"
# Room -> the rooms that it may import. Everything may import the ground of common; a room of
# another part must be named, and no arrow may lead back up.
ROOMS: dict[str, str] = {
    "common/rules": "",
    "common/flower": "",
    "common/telemetry": "",
    "common/reach": "common/telemetry",
    "common/schema": "common/rules",
    "common/trust": "",
    "common/accounting": "",
    "common/values": "common/schema",
    "common/codec": "common/schema common/rules common/values",
    "common/audit": "common/accounting",
    "common/generator": "common/schema common/codec",
    "common/plan": "common/schema common/values common/codec common/families common/generator "
    "common/accounting common/tables common/trust",
    "common/certificate": "common/plan common/accounting",
    "common/roster": "common/plan common/trust",
    "common/messages": "common/plan common/certificate common/families common/generator "
    "common/tables common/trust",
    "common/generated": "common/rules common/schema common/codec",
    "common/sampler": "common/schema common/values common/codec common/generated common/generator",
    "common/tables": "common/rules common/schema common/codec common/generated",
    "common/families": "common/tables",
    "common/forest": "common/codec common/families common/generated common/rules common/sampler "
    "common/schema common/tables",
    "common/importers": "common/rules common/schema common/codec common/tables",
    "common/report": "common/accounting common/certificate common/codec common/plan "
    "common/sampler common/schema",
    "common/page": "common/cli common/report common/telemetry",
    "common/scores": "common/codec common/schema",
    "common/learners": "common/scores",
    "common/attacks": "common/codec common/learners common/report common/sampler common/schema "
    "common/scores",
    "common/evaluate": "common/accounting common/attacks common/certificate common/codec "
    "common/learners common/plan common/report common/sampler common/schema common/scores",
    "common/held": "common/plan common/sampler",
    "common/estimate": "common/certificate common/codec common/plan common/sampler common/schema "
    "common/scores",
    "common/likeness": "common/codec common/report common/schema common/scores common/tables",
    "common/changes": "common/certificate common/codec common/estimate common/forest common/plan "
    "common/report common/sampler common/schema",
    "common/cli": "common/changes "
    "common/schema common/codec common/importers common/forest common/generator "
    "common/likeness common/plan common/rules "
    "common/certificate common/sampler common/estimate common/evaluate common/reach "
    "common/report common/tables common/telemetry",
    "client/noise": "common/accounting common/plan",
    "client/counting": "",
    "client/ledger": "common/accounting common/audit",
    "client/csv": "common/schema",
    "client/maps": "common/schema common/codec common/rules",
    "client/source": "client/counting client/csv client/maps client/noise common/schema "
    "common/values common/codec",
    "client/families": "client/csv client/source common/codec common/families common/schema "
    "common/tables",
    "client/policy": "client/source common/accounting common/audit common/generator "
    "common/messages common/plan common/schema common/trust",
    "client/learning": "client/noise client/source common/schema common/codec common/generator "
    "common/messages common/plan",
    "client/sums": "client/noise common/messages common/plan common/trust",
    "client/roster": "client/ledger client/policy common/audit common/messages common/roster "
    "common/trust",
    "client/gateway": "client/families client/ledger client/noise client/source client/learning "
    "client/sums common/accounting "
    "client/policy client/roster common/audit common/certificate common/forest "
    "common/generator common/held common/messages common/plan common/sampler common/schema "
    "common/tables "
    "common/trust common/values",
    "client/drafting": "client/csv client/maps client/source common/codec common/rules "
    "common/schema common/tables",
    "client/silo": "client/csv client/families client/maps client/gateway client/ledger "
    "client/noise client/source client/learning "
    "client/sums client/policy client/roster common/accounting common/audit common/generator "
    "common/messages common/plan common/reach common/roster common/sampler common/schema "
    "common/tables common/telemetry common/trust",
    "client/rpc": "",
    "client/desk": "client/silo client/ledger client/learning client/policy client/roster "
    "client/rpc common/accounting common/audit common/families common/plan common/roster "
    "common/trust",
    "client/serving": "client/desk client/silo client/ledger client/noise client/policy client/rpc "
    "common/audit common/messages common/reach common/telemetry common/trust",
    "client/page": "client/desk client/policy common/accounting common/page common/report "
    "common/trust",
    "client/relay": "client/rpc common/flower common/messages common/reach common/telemetry",
    "client/cli": "client/csv client/maps client/desk client/drafting client/families client/silo "
    "client/policy client/roster client/source common/accounting common/audit common/cli "
    "common/evaluate common/messages common/page common/plan common/roster common/schema "
    "common/scores common/tables common/trust",
    "server/model": "common/schema",
    "server/values": "common/values common/codec common/plan common/schema",
    "server/mixture": "server/measuring server/values common/generator",
    "server/measuring": "server/model server/values common/certificate common/codec "
    "common/messages common/plan common/sampler common/schema",
    "server/generator": "server/measuring common/codec common/generator common/messages "
    "common/plan common/sampler common/schema",
    "server/methods": "server/generator server/measuring server/mixture server/model server/values "
    "common/accounting "
    "common/certificate common/codec common/generator common/messages common/plan "
    "common/sampler common/schema",
    "server/dummy": "server/families server/methods server/measuring server/model common/codec "
    "common/families common/forest common/sampler common/schema common/tables",
    "server/families": "common/families common/forest common/sampler common/schema common/tables",
    "server/planning": "server/families server/methods common/accounting common/codec "
    "common/families common/generator common/plan common/schema common/tables",
    "server/coordinator": "server/families server/methods server/generator "
    "server/measuring server/values common/values common/accounting common/certificate "
    "common/estimate common/families common/forest common/generator common/messages common/plan "
    "common/sampler common/schema common/tables common/trust",
    "server/driver": "server/coordinator server/generator server/methods common/certificate "
    "common/generator common/messages common/plan common/sampler common/schema common/tables",
    "server/federation": "server/driver server/coordinator server/judging server/methods "
    "common/certificate common/flower common/messages common/plan common/reach common/roster "
    "common/tables common/telemetry common/trust",
    "server/page": "server/coordinator server/driver server/federation common/certificate "
    "common/codec common/messages common/page common/plan common/sampler",
    "server/service": "server/federation common/telemetry",
    "server/judging": "server/coordinator server/methods common/accounting common/certificate "
    "common/held common/plan common/sampler",
    "server/drift": "server/judging server/measuring server/model server/planning "
    "common/certificate common/held common/plan common/sampler common/schema",
    "server/report": "server/coordinator server/driver server/judging server/measuring "
    "server/methods "
    "common/attacks common/certificate common/evaluate common/plan common/report common/sampler "
    "common/schema",
    "server/cli": "server/federation server/service server/report server/driver "
    "server/coordinator server/drift server/judging server/methods server/dummy server/planning "
    "common/accounting common/certificate common/cli common/estimate common/evaluate "
    "common/families common/page common/plan common/reach common/report common/roster "
    "common/sampler common/schema common/tables common/telemetry common/trust",
    "simulations/audit": "client/families client/gateway client/learning client/noise "
    "client/source common/accounting common/cli common/codec common/families common/generator "
    "common/held common/messages common/plan common/report common/schema common/tables "
    "server/coordinator server/driver server/judging server/measuring server/methods "
    "server/planning",
    "simulations/one_process": "client/ledger common/audit common/codec common/plan",
    "simulations/world": "common/plan common/schema",
    "simulations/digits": "common/plan common/sampler common/schema server/planning",
    "simulations/silos": "simulations/one_process client/gateway client/learning client/ledger "
    "client/maps client/noise client/policy client/source client/sums common/audit common/codec "
    "common/generator common/plan common/schema",
    "simulations/on_ray": "simulations/silos",
    "simulations/several": "simulations/audit simulations/one_process client/families "
    "client/gateway client/ledger client/noise client/policy client/source client/sums "
    "common/audit common/certificate common/forest common/likeness common/messages common/plan "
    "common/report common/tables server/coordinator server/driver",
    "simulations/scenario": "simulations/one_process simulations/world client/gateway "
    "client/ledger client/maps client/noise client/policy client/source client/sums common/audit "
    "common/cli common/codec common/messages common/plan common/report common/sampler "
    "common/schema common/trust server/coordinator server/driver server/methods",
    "simulations/sweep": "simulations/scenario simulations/world common/cli common/codec "
    "common/plan common/report common/sampler common/schema common/scores server/planning",
    "simulations/real_time": "simulations/one_process simulations/scenario simulations/sweep "
    "simulations/world client/gateway client/ledger client/maps client/relay client/rpc "
    "common/certificate common/cli common/codec common/messages common/plan common/reach "
    "common/schema common/trust server/coordinator server/driver server/federation",
}
# The floor of the simulations stands on everything.
TOP = "simulations"
EDGES = {
    "flwr": {
        "common/flower/bundle.py",
        "common/flower/node_process.py",
        "common/flower/supernode.py",
        "common/flower/wire.py",
        "client/relay/messages.py",
        "client/relay/pushing.py",
        "client/relay/relay.py",
        "simulations/flower.py",
        "server/federation/letters.py",
        "server/federation/channel.py",
        "server/federation/grid.py",
        "simulations/cluster.py",
        "simulations/on_ray/node.py",
    },
    "httpx": {
        "client/relay/relay.py",
        "client/relay/superlink_session.py",
        "common/reach/superlink.py",
        "server/federation/superlink_calls.py",
        "simulations/real_time/link.py",
        "simulations/real_time/proxy.py",
    },
    "ray": {
        "client/source/on_ray.py",
        "simulations/on_ray/hosts.py",
        "simulations/on_ray/node.py",
        "simulations/real_time/on_ray.py",
        "simulations/sweep/on_ray.py",
    },
    "pandas": {"common/codec/written/frames.py", "simulations/demo_insurers.py"},
    "dp_accounting": {
        "common/accounting/loss.py",
        "common/accounting/sum_privacy.py",
        "common/certificate/accountants.py",
    },
    "scipy": {
        "common/accounting/loss.py",
        "common/estimate/replicates.py",
        "server/families/regression.py",
        "server/mixture/copula.py",
        "server/mixture/central.py",
        "server/mixture/projected.py",
        "server/mixture/spectrum.py",
        "server/values/beside_nobody.py",
        "simulations/audit/audit.py",
    },
    "fastapi": {
        "client/page/site.py",
        "common/page/answers.py",
        "common/page/forms.py",
        "common/page/site.py",
        "server/page/site.py",
    },
    "uvicorn": {"common/page/worker.py"},
    "faker": {"common/generated/people.py"},
    "numba": {"client/learning/clip.py", "client/counting/compiled.py"},
    "duckdb": {
        "client/csv/sniffer.py",
        "client/families/join.py",
        "client/source/from_duckdb.py",
    },
    "adbc_driver_postgresql": {"client/source/from_postgresql.py"},
    "grpc": {"client/rpc/caller.py", "client/rpc/server.py"},
    "grpc_health": {"client/rpc/server.py"},
    "opendp": {"common/certificate/accountants.py"},
    "opacus": {"common/certificate/accountants.py"},
    "peft": {"common/generator/checkpoint.py"},
    "transformers": {"common/generator/checkpoint.py"},
    "tokenizers": {"common/generator/voting/words.py"},
    "safetensors": {"common/generator/voting/words.py"},
    "torch": {
        "common/generator/networks.py",
        "common/generator/checkpoint.py",
        "common/generator/pretrained_network.py",
        "common/generator/writing.py",
        "client/learning/gradient.py",
        "common/sampler/network_draw.py",
        "server/generator/train.py",
        "server/generator/target.py",
        "server/model/torch_engine.py",
    },
    "sqlite3": {
        "client/ledger/ledger.py",
        "client/ledger/batch.py",
        "client/ledger/copied.py",
        "client/ledger/mirror.py",
        "client/ledger/rebuild.py",
        "client/ledger/decisions.py",
        "client/ledger/fence.py",
        "client/ledger/file.py",
        "client/ledger/rows.py",
        "client/ledger/statements.py",
        "client/ledger/waiting.py",
        "server/federation/prune.py",
    },
    "pickle": set(),
    "random": set(),
    "statsmodels": {"simulations/demo_insurers.py"},
    "threadpoolctl": {"common/learners/learners.py"},
    "sklearn": {"common/learners/learners.py", "simulations/digits/demo_digits.py"},
}


@cache
def _modules(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


@cache
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


def _room(path: Path) -> str:
    """Return the room of a module: its folder, or the one that its folder is a cupboard of."""
    return "/".join(path.parent.relative_to(ROOT).parts[:2])


def _room_of(name: str) -> str:
    """Return the room that a dotted name leads into."""
    parts = name.split(".")[1:]
    room = "/".join(parts[:2])
    return room if room in ROOMS else parts[0]


def _folders() -> set[str]:
    return {_room(path) for part in PARTS for path in _modules(part)}


def test_every_folder_is_a_room_of_the_table() -> None:
    assert _folders() == {*ROOMS, *PARTS}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_the_rooms_that_it_names(room: str) -> None:
    used = {
        _room_of(name)
        for path in (ROOT / room).rglob("*.py")
        for name in _imports(path)
        if name.startswith("silosynth.")
    }
    assert used - {room, GROUND} == set(ROOMS[room].split())


def test_the_grounds_import_no_room() -> None:
    for part in PARTS:
        for path in (ROOT / part).glob("*.py"):
            used = {_room_of(n) for n in _imports(path) if n.startswith("silosynth.")}
            assert part == TOP or used <= {GROUND}, path


def test_no_arrow_leads_back_up_and_client_and_server_never_meet() -> None:
    below = {"client": {"common", "client"}, "server": {"common", "server"}, "common": {"common"}}
    reached: dict[str, set[str]] = {}
    while len(reached) < len(ROOMS):
        ready = [r for r in ROOMS if r not in reached and set(ROOMS[r].split()) <= reached.keys()]
        assert ready, f"a circle among {sorted(ROOMS.keys() - reached.keys())}"
        for room in ready:
            reached[room] = {room}.union(*(reached[r] for r in ROOMS[room].split()))
    for room, rooms in reached.items():
        part = room.split("/")[0]
        assert {r.split("/")[0] for r in rooms} <= below.get(part, set(PARTS)), room


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


def test_the_wheel_lists_every_room() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {p.parent.relative_to(ROOT).as_posix() for part in PARTS for p in _modules(part)}
    packages = {f.replace("/", ".") for f in folders}
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(
        f"silosynth.{name}" for name in packages
    )
    for part in PARTS:
        assert (ROOT / part / "py.typed").exists()
    for folder in folders:
        assert (ROOT / folder / "__init__.py").exists()


def test_every_entry_point_of_the_command_line_can_be_loaded() -> None:
    found = entry_points(group="silosynth.commands")
    assert {e.name for e in found} == set(PARTS)
    assert all(callable(e.load()) for e in found)


RELAY = (
    "client/rpc/caller.py",
    "client/rpc/calls.py",
    "client/relay/messages.py",
    "client/relay/process.py",
    "client/relay/relay.py",
    "client/relay/pushing.py",
    "client/relay/supernode.py",
)
PRIVATE = (
    "silosynth.client.ledger.ledger",
    "silosynth.client.source.table",
    "silosynth.client.gateway.gateway",
)


def test_what_a_relay_imports_can_reach_no_table_ledger_or_key() -> None:
    """One after the other in one interpreter: the first after which it is there brought it."""
    names = [f"silosynth.{path.removesuffix('.py').replace('/', '.')}" for path in RELAY]
    unwanted = sorted({*PRIVATE, "sqlite3", "pandas", "pyarrow"})
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
        f"    print(name, *sys.modules.keys() & {{*{unwanted}}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == names


def test_fitting_and_drawing_load_no_accountant() -> None:
    code = (
        "import sys, silosynth.server.measuring.evidence, silosynth.common.sampler.sampler; "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"dp_accounting", "scipy", "pandas"}


LATE = {
    *("dp_accounting", "flwr", "pandas", "ray", "sklearn", "torch"),
    *("scipy.optimize", "scipy.sparse", "scipy.stats"),
}
"""What takes half a second or more to import, and few commands need."""


def test_a_command_starts_without_what_few_commands_need() -> None:
    code = "import sys, silosynth.common.cli.app as app; app.build_app(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & LATE
