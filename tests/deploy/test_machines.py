"""What the guide for machines of their own says is done, by users and units as it says."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.deploy import try_machines as guide
from tests.support.deploy_commands import DEPLOY
from tests.support.machines import can_make_machines
from tests.support.systemctl import DONE, LEFT, settings

SILOS = ("north", "south")


def test_the_stand_in_for_systemd_knows_every_key_of_the_units() -> None:
    keys = {key for unit in (DEPLOY / "systemd").iterdir() for key, _ in settings(unit)}
    assert keys == DONE | LEFT
    assert not DONE & LEFT


def test_the_guide_has_the_blocks_that_are_done() -> None:
    assert tuple(guide.blocks()) == guide.ORDER


@pytest.mark.skipif(
    not (os.environ.get("SILOSYNTH_MACHINES") and can_make_machines()),
    reason="takes minutes: SILOSYNTH_MACHINES=1, as root, with util-linux",
)
def test_the_guide_leads_from_nothing_to_a_table() -> None:
    told: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="machines-", ignore_cleanup_errors=True) as name,
        guide.machines(Path(name), SILOS) as site,
    ):
        guide.follow(site, archive=None, tell=told.append)
        assert told[-1] == "a table is drawn"
        _check_closed(site)


def _check_closed(site: guide.Site) -> None:
    """Nobody calls a silo; the relay's user sees nothing of it; a gateway sees no network."""
    for name, person in site.silos.items():
        assert person.machine.listening() <= {"0100007F"}, f"{name} listens for others"
        relay = "runuser -u silosynth-relay -- cat"
        for secret in (
            "/etc/silosynth/silo/silo.toml",
            "/etc/silosynth/silo/keys/silo.pem",
            "/data/table.parquet",
            "/var/lib/silosynth/ledger.sqlite",
        ):
            person.does(f"! {relay} {secret}")
        person.does("! runuser -u silosynth -- cat /etc/silosynth/relay/supernode.pem")
        other = next(i for i, n in enumerate(SILOS, start=1) if n != name)
        with pytest.raises(AssertionError, match="unreachable"):
            person.does(
                f"/opt/silosynth/bin/python -c 'import socket; "
                f'socket.create_connection(("10.77.{other}.2", 22), timeout=3)\''
            )
    hub = site.hub
    hub.does("! runuser -u silosynth-superlink -- cat /etc/silosynth/coordinator/identity.pem")
    hub.does(f"! runuser -u silosynth-superlink -- ls {guide.STATE}")
