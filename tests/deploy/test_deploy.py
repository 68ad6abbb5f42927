"""What deploy/ holds is well formed, hardened, and its commands are the ones that run."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml
from dockerfile_parse import DockerfileParser

from silosynth.client.policy import load_policy
from silosynth.client.rpc import RemoteGateway
from silosynth.common.messages import Identity, decode_statement
from silosynth.common.plan import check_budget, check_plan, load_plan
from silosynth.common.schema import load_schema
from silosynth.server.federation import load_roster
from silosynth.server.federation.superlink import build_bundle
from tests.processes.federation import Federation
from tests.support.deploy_commands import DEPLOY, container_command, unit_command
from tests.support.patience import patience

UNITS = sorted(p.name for p in (DEPLOY / "systemd").iterdir())
EXAMPLES = ("multi-region", "cross-organisation")


def test_the_bundle_that_goes_to_silos_holds_no_code() -> None:
    with zipfile.ZipFile(io.BytesIO(build_bundle())) as bundle:
        names = bundle.namelist()
        manifest = bundle.read("pyproject.toml").decode()
    assert not [n for n in names if n.endswith((".py", ".pyc", ".so", ".whl"))]
    assert "silosynth.client.relay.messages:app" in manifest


def test_the_manifest_in_deploy_is_the_one_that_is_sent() -> None:
    sent = (DEPLOY.parent / "server" / "federation" / "flower_app.toml").read_text()
    assert (DEPLOY / "flower" / "pyproject.toml").read_text() == sent


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_units_are_valid_and_well_contained(tmp_path: Path) -> None:
    (tmp_path / "relay.env").write_text("SUPERLINK=a:1\nSILO=a\n")
    for name in UNITS:
        text = (DEPLOY / "systemd" / name).read_text()
        text = re.sub(r"/opt/silosynth/bin/[a-z-]+", "/bin/true", text)
        text = re.sub(r"^Documentation=.*$", "", text, flags=re.MULTILINE)
        (tmp_path / name).write_text(text)
    for name in UNITS:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
            capture_output=True,
            text=True,
            timeout=patience(60),
            check=False,
        )
        ours = [line for line in done.stderr.splitlines() if "silosynth" in line]
        assert not ours, done.stderr


@pytest.mark.parametrize("name", [u for u in UNITS if u.endswith(".service")])
def test_every_service_is_hardened(name: str) -> None:
    lines = set((DEPLOY / "systemd" / name).read_text().splitlines())
    assert {
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "RestrictNamespaces=yes",
        "SystemCallFilter=@system-service",
    } <= lines
    # What serves is always there; what ends by itself is tried again where that helps.
    ends = name in ("silosynth-run@.service", "silosynth-notify.service")
    assert ("Restart=on-failure" if ends else "Restart=always") in lines


def test_the_gateway_unit_has_no_network_and_its_socket_is_the_relays_alone() -> None:
    service = (DEPLOY / "systemd" / "silosynth-gateway.service").read_text()
    assert "PrivateNetwork=yes" in service
    listener = (DEPLOY / "systemd" / "silosynth-gateway.socket").read_text()
    relay = (DEPLOY / "systemd" / "silosynth-relay.service").read_text()
    assert "SocketMode=0600" in listener
    user = re.search(r"^SocketUser=(.*)$", listener, re.MULTILINE)
    assert user is not None
    assert f"User={user[1]}" in relay.splitlines()
    path = re.search(r"^ListenStream=(.*)$", listener, re.MULTILINE)
    assert path is not None
    assert path[1] in relay


def _compose() -> dict[str, dict[str, dict[str, object]]]:
    loaded: dict[str, dict[str, dict[str, object]]] = yaml.safe_load(
        (DEPLOY / "compose.yaml").read_text()
    )
    return loaded


def test_the_compose_file_follows_the_compose_specification() -> None:
    found = importlib.util.find_spec("check_jsonschema")
    assert found is not None
    assert found.submodule_search_locations
    vendor = Path(found.submodule_search_locations[0]) / "builtin_schemas" / "vendor"
    schema = json.loads((vendor / "compose-spec.json").read_text())
    jsonschema.validate(_compose(), schema)
    broken = _compose()
    broken["services"]["superlink"]["cap_dropp"] = ["ALL"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def _mounts(service: dict[str, object]) -> dict[str, str]:
    """Return what is mounted where, by the place in the container."""
    pairs = [str(v).split(":") for v in service["volumes"]]  # type: ignore[attr-defined]  # a list
    return {pair[1]: pair[0] for pair in pairs}


def test_only_gateways_mount_tables_and_they_have_no_network() -> None:
    services = _compose()["services"]
    assert len(services) == 9
    for name, service in services.items():
        targets = _mounts(service)
        assert service["cap_drop"] == ["ALL"]
        assert "cap_add" not in service
        assert service["user"] != "root"
        assert service["read_only"] is True
        assert name == "coordinator" or "healthcheck" in service
        gateway = name.startswith("gateway-")
        assert ("/data" in targets) is gateway, name
        assert ("/etc/silosynth/silo" in targets) is gateway, name
        assert (service.get("network_mode") == "none") is (gateway or name == "page"), name


SECRETS = {
    "identity.pem": {"coordinator"},
    "superlink-key.pem": {"superlink"},
    "superexec.secret": {"coordinator", "superlink"},
}


def test_each_secret_is_mounted_into_its_own_role_alone_and_no_folder_of_secrets_is() -> None:
    """A silo's own key is within its policy's folder, which its gateway alone mounts."""
    for name, service in _compose()["services"].items():
        for source in _mounts(service).values():
            if not source.startswith("./certs/"):
                continue
            file = source.rpartition("/")[2]
            assert "." in file, f"{name} mounts the folder {source}"
            if file == "supernode.pem":
                assert name == f"relay-{source.split('/')[3]}"
            else:
                assert name in SECRETS.get(file, {name}), f"{name} mounts {source}"


def test_the_image_runs_one_entry_point_as_no_root_and_its_base_is_pinned() -> None:
    parser = DockerfileParser(fileobj=io.BytesIO((DEPLOY / "docker" / "Dockerfile").read_bytes()))
    steps = parser.structure
    kinds = [s["instruction"] for s in steps if s["instruction"] != "COMMENT"]
    assert kinds.count("ENTRYPOINT") == 1
    assert "ADD" not in kinds
    assert parser.parent_images == ["python:3.11-slim-bookworm"] * 2
    assert [s["value"] for s in steps if s["instruction"] == "USER"] == ["silosynth"]


def test_a_build_sees_no_key_table_or_history() -> None:
    lines = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((DEPLOY.parent / place).exists() for place in allowed)
    assert not allowed & {".git", ".venv", "deploy", "tests"}
    assert {"**/*.pem", "**/*.secret", "**/*.parquet"} <= set(rules)


def _flags(words: list[str]) -> set[tuple[str, str]]:
    pairs = [*words[1:], ""]
    return {(w, "" if n.startswith("--") else n) for w, n in pairwise(pairs)}


def test_containers_and_units_run_the_same_commands() -> None:
    values = {"superlink:9092": "${SUPERLINK}", "north": "${SILO}"}
    for container, unit in (
        ("relay-north", "silosynth-relay.service"),
        ("gateway-north", "silosynth-gateway.service"),
        ("superlink", "silosynth-superlink.service"),
    ):
        flags = {f for f in _flags(container_command(container, values)) if f[0].startswith("--")}
        wanted = {f for f in _flags(unit_command(unit, {})) if f[0].startswith("--")}
        assert flags == wanted


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_usable_as_they_are(example: str) -> None:
    place = DEPLOY / "examples" / example
    schema = load_schema(DEPLOY / "examples" / "schema.yaml")
    plan, roster = load_plan(place / "plan.yaml"), load_roster(place / "roster.yaml")
    check_plan(plan, schema)
    check_budget(plan)
    assert dict(plan.roster) == dict(roster.silos)
    policy = load_policy(place / "silo.toml")
    assert policy.datasets[0].schema_digest == schema.digest
    assert roster.coordinator in policy.consumers()
    assert dict(policy.rules().rosters["default"]) == dict(roster.silos)
    assert policy.rules().approval.automatic is (example == "multi-region")


@pytest.fixture
def federation() -> Iterator[Federation]:
    """Make silos, and start nothing."""
    with (
        tempfile.TemporaryDirectory(prefix="deploy-") as directory,
        Federation(Path(directory)) as made,
    ):
        yield made


def test_the_gateways_command_serves_the_socket_that_systemd_hands_over(
    federation: Federation,
) -> None:
    # An interpreter in root's home is closed to whom the gateway becomes: it loads all before.
    early = federation.directory / "early"
    early.mkdir()
    modules = "pandas, pyarrow.compute, pyarrow.csv, pyarrow.parquet, pyarrow.types"
    (early / "sitecustomize.py").write_text(f"import {modules}\n")
    path = federation.directory / "handed.sock"
    values = {"/etc/silosynth/silo/silo.toml": str(federation.policy("north"))}
    command = unit_command("silosynth-gateway.service", values)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        activate = f"""exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@" """
        process = subprocess.Popen(
            ["bash", "-c", activate, "bash", *command],
            pass_fds=[listener.fileno()],
            env=os.environ | {"PYTHONPATH": str(early)},
            stderr=subprocess.PIPE,
        )
        try:
            with RemoteGateway(path) as gateway:
                data = gateway.identify(bytes(32))
        finally:
            process.terminate()
            process.communicate(timeout=patience(30))
    roster = federation.plan.roster
    assert decode_statement(data, Identity, trusted=(roster["north"],)).silo == "north"
