"""Silos and coordinator reach a SuperLink by a proxy alone, and this machine without it.

Nobody can resolve the SuperLink's name here: what reaches it, came by the proxy.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from silosynth.common.reach.certificates import served_days_left
from silosynth.common.reach.superlink import look_at
from silosynth.server.federation import Federation as Connection
from silosynth.server.federation import add_federation, make_certs
from silosynth.server.federation.certs import Certs
from tests.processes.federation import NAME, SILOS, federation_plan
from tests.processes.warm import Warm
from tests.support.connecting import connect_proxy

HOST = "superlink.silosynth.invalid"
DEAD = "http://127.0.0.1:1"


class Behind(Warm):
    """A federation whose SuperLink is known by a name that only the proxy knows."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        super().__init__(directory, **changes)
        self.by_name: Certs = make_certs(directory / "named", silos=("x",), hosts=(HOST,))
        # The server's own certificate and CA; everybody's keys are those of before.
        for name in ("ca.pem", "coordinator/superlink.pem", "coordinator/superlink-key.pem"):
            (self.certs.path / name).write_bytes((self.by_name.path / name).read_bytes())
        self.home = directory / "home-by-name"
        self.connection = Connection(
            superlink=f"{HOST}:{self.port}",
            ca=self.certs.ca,
            identity=self.certs.identity,
            superexec_secret=self.certs.secret,
        )
        add_federation(self.home, NAME, self.connection)

    def superlink_address(self) -> str:
        return f"{HOST}:{self.port}"


def test_a_run_goes_by_a_proxy_that_asks_for_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="proxy-") as name, connect_proxy() as proxy:
        for variable, value in (("HTTPS_PROXY", proxy.url), ("HTTP_PROXY", DEAD), ("NO_PROXY", "")):
            monkeypatch.setenv(variable, value)
            monkeypatch.setenv(variable.lower(), value)
        with Behind(Path(name)) as federation:
            federation.write_plan(
                federation_plan(federation.certs, method="independent", plan_id="proxied")
            )
            federation.start()
            asked = len(proxy.asked)
            assert asked >= len(SILOS)
            done = federation.run()
            assert done["exit_code"] == 0, federation.log("coordinator")
            assert set(proxy.asked) == {HOST}
            assert len(proxy.asked) > asked
            superlink, ca = federation.connection.superlink, federation.certs.ca
            left = served_days_left(superlink, ca=ca)
            assert left is not None
            assert left > 300
            assert look_at(superlink, ca=ca) is None
            # Without its word the proxy lets nobody through, and that is seen.
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            assert served_days_left(superlink, ca=ca) is None
            assert proxy.turned_away
    assert os.environ["HTTP_PROXY"] == DEAD
