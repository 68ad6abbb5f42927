"""A whole run by a real nginx with the shipped file; what is closed there is closed."""

from __future__ import annotations

import http.client
import ssl
import tempfile
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from silosynth.common.reach import free_port
from silosynth.common.reach.superlink import look_at
from silosynth.server.federation import Federation as Connection
from silosynth.server.federation import add_federation
from tests.processes.federation import NAME, SILOS, federation_plan
from tests.processes.warm import Warm
from tests.support.nginx import NGINX, asked_paths, nginx
from tests.support.patience import patience

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: make nginx")
COORDINATOR, SILO = "127.0.0.1", "127.0.0.2"
# Ways to spell a path of the coordinator's so that it looks like a silo's, or like nobody's.
SPELLED = (
    "/v1/control/start-run",
    "/v1/runtime/acquire-task",
    "/v1/fleet/../control/start-run",
    "/v1/fleet/%2e%2e/control/start-run",
    "/v1/fleet/..%2fcontrol/start-run",
    "/v1/fleet/%252e%252e/control/start-run",
    "//v1//control/start-run",
    "/v1/./control/start-run",
    "/v1/%63ontrol/StartRun",
    "/v1/Control/StartRun",
    "/v1/control;x/start-run",
    "/v1/fleet/..;/control/start-run",
    "/v1/control",
)


class Behind(Warm):
    """A federation whose SuperLink is reached by nginx alone."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        super().__init__(directory, **changes)
        self.front = free_port()
        self.home = directory / "home-by-nginx"
        self.connection = Connection(
            superlink=self.superlink_address(),
            ca=self.certs.ca,
            identity=self.certs.identity,
            superexec_secret=self.certs.secret,
        )
        add_federation(self.home, NAME, self.connection)

    def superlink_address(self) -> str:
        return f"localhost:{self.front}"

    def values(self) -> dict[str, str]:
        """Return what the operator puts into the shipped file."""
        certs = f"{self.certs.path}/coordinator"
        return {
            "superlink.example.org": "localhost",
            "/etc/silosynth/coordinator/superlink.pem": f"{certs}/superlink.pem",
            "/etc/silosynth/coordinator/superlink-key.pem": f"{certs}/superlink-key.pem",
            "/etc/silosynth/ca.pem": str(self.certs.ca),
            "192.0.2.10": COORDINATOR,
            "127.0.0.1:9092": f"127.0.0.1:{self.port}",
        }

    def ask(self, path: str, *, source: str, body: bytes = b"") -> tuple[int, str, str | None]:
        """Ask nginx from one address; return the status, who answered, and the time it says."""
        trust = ssl.create_default_context(cafile=str(self.certs.ca))
        connection = http.client.HTTPSConnection(
            "localhost", self.front, context=trust, source_address=(source, 0), timeout=patience(5)
        )
        try:
            connection.putrequest("POST", path, skip_accept_encoding=True)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            text = answer.read(200).decode(errors="replace")
            return answer.status, text, answer.getheader("Date")
        finally:
            connection.close()


@pytest.fixture(scope="module")
def behind() -> Iterator[tuple[Behind, Path]]:
    """Start a SuperLink to which all goes by nginx; the silos are away."""
    with tempfile.TemporaryDirectory(prefix="nginx-") as name:
        directory = Path(name)
        with (
            Behind(directory) as federation,
            nginx(directory / "n", port=federation.front, values=federation.values()) as folder,
        ):
            federation.write_plan(
                federation_plan(federation.certs, method="independent", plan_id="fronted")
            )
            federation.start_superlink()
            yield federation, folder


def test_a_run_goes_by_the_shipped_file_and_nobody_is_held_up(behind: tuple[Behind, Path]) -> None:
    """Silos and coordinator come from one address here, so its limit is met three times as soon."""
    federation, folder = behind
    federation.admit()
    for silo in SILOS:
        federation.start_gateway(silo)
        federation.start_relay(silo)
    federation.wait_online(SILOS)
    done = federation.run()
    assert done["exit_code"] == 0, federation.log("coordinator")
    assert asked_paths(folder) == {"/v1/fleet/", "/v1/control/", "/v1/runtime/"}
    errors = (folder / "error.log").read_text()
    assert not [line for line in errors.splitlines() if "[error]" in line or "limiting" in line]


def test_who_is_no_coordinator_reaches_the_silos_paths_alone(behind: tuple[Behind, Path]) -> None:
    federation, _ = behind
    for path in SPELLED:
        status, text, _ = federation.ask(path, source=SILO)
        assert status in (400, 403, 404), (path, status)
        assert status != 404 or "nginx" in text or path.startswith("/v1/fleet/"), (path, text)
    assert federation.ask("/v1/control/list-nodes", source=SILO)[0] == 403
    assert federation.ask("/v1/control/list-nodes", source=COORDINATOR)[0] not in (403, 502)
    status, text, _ = federation.ask("/v1/fleet/pull-messages", source=SILO)
    assert status not in (403, 502), "a silo is let through"
    assert "nginx" not in text


def test_a_large_answer_passes_and_anybody_gets_the_time(behind: tuple[Behind, Path]) -> None:
    federation, _ = behind
    status, text, _ = federation.ask("/v1/fleet/push-messages", source=SILO, body=bytes(20_000_000))
    assert status not in (413, 403, 502)
    assert "nginx" not in text
    status, text, date = federation.ask("/", source=SILO)
    assert (status, "nginx" in text) == (404, True)
    assert date is not None
    assert parsedate_to_datetime(date).year >= 2026
    assert look_at(federation.superlink_address(), ca=federation.certs.ca) is None
