"""A fourth silo, as its operator makes it: by the commands alone, with two files sent."""

from __future__ import annotations

import json
import os
import pwd
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from silosynth.client.desk import Command, Question, open_desk
from silosynth.client.policy import load_policy
from tests.processes.federation import (
    GATEWAY_USER,
    HERE,
    ROOT,
    Federation,
    give_to_gateway,
    wait_for,
)
from tests.processes.silo_tables import silo_table
from tests.support.deploy_commands import unit_command

EAST = "east"


def say(federation: Federation, *words: str) -> dict[str, Any]:
    """Run a command that must end well; return its data."""
    done = federation.command(*words, "--json")
    assert done.returncode == 0, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


def join(federation: Federation) -> tuple[Path, str]:
    """Make the keys and the request of the fourth silo; return the request and the four words."""
    asked = say(federation, "silo", "join", str(federation.directory / EAST), "--name", EAST)
    return Path(asked["path"]), str(asked["words"])


def take_kit(federation: Federation, kit: Path, *, words: str) -> None:
    """Take the kit, and set the policy to this machine's users."""
    place = federation.directory / EAST
    pq.write_table(silo_table("north").drop_columns(["who"]), place / "table.parquet")
    table = ("--table", str(place / "table.parquet"), "--epsilon", "20.0")
    say(federation, "silo", "take-kit", str(place), "--kit", str(kit), *table, "--words", words)
    policy = place / "silo.toml"
    text = policy.read_text()
    user = pwd.getpwuid(os.geteuid()).pw_name
    changes = [
        (r"^users = \[\].*$", f'users = ["{user}"]\nsocket = "{federation.gateway_socket(EAST)}"'),
        (
            r"^automatic = false$",
            'automatic = true\nmax_epsilon = 10.0\nmax_delta = 1e-5\nmethods = ["independent"]',
        ),
    ]
    if ROOT:
        changes.append((r'^# run_as = ".*$', f'run_as = "{GATEWAY_USER}"'))
    for old, new in changes:
        text, count = re.subn(old, new, text, count=1, flags=re.MULTILINE)
        assert count == 1, old
    policy.write_text(text)
    give_to_gateway(place)


def start(federation: Federation) -> None:
    """Start the fourth silo's gateway and relay, by what the kit brought."""
    place, path = federation.directory / EAST, federation.gateway_socket(EAST)
    settings = dict(
        line.split("=", 1) for line in (place / "relay/relay.env").read_text().splitlines()
    )
    command = [sys.executable, str(HERE / "gateway_main.py"), str(place / "silo.toml")]
    plan = federation.directory / "plan.yaml"
    federation.spawn(f"gateway-{EAST}", [*command, "--seed=7", f"--plan={plan}"])
    wait_for("the gateway of the fourth silo", path.is_socket)
    values = {
        "${SUPERLINK}": settings["SUPERLINK"],
        "${SILO}": settings["SILO"],
        "9464": "0",
        "/etc/silosynth/ca.pem": str(place / "relay/ca.pem"),
        "/etc/silosynth/relay/supernode.pem": str(place / "relay/supernode.pem"),
        "/run/silosynth/gateway.sock": str(path),
    }
    federation.spawn(f"relay-{EAST}", unit_command("silosynth-relay.service", values))


def approve(federation: Federation, silo: str, *, words: str) -> None:
    """See what waits at a silo, compare the words, and approve it."""
    with open_desk(load_policy(federation.policy(silo))) as ask:
        (change,) = ask(Question(command=Command.PENDING))["plans"]
        assert [e["words"] for e in change["added"]] == [words], change
        ask(Question(command=Command.DECIDE, plan=change["id"], approve=True, why="compared"))
