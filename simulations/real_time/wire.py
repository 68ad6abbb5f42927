"""What carries runs in real time: a SuperLink on this machine, and a host for each silo."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from silosynth.common.errors import ConnectionFailed, RunFailed
from silosynth.common.plan import Plan, dump_plan
from silosynth.common.reach import free_port
from silosynth.common.trust import SigningKey
from silosynth.server.federation import Federation, admit_nodes, list_nodes, make_certs
from silosynth.simulations.real_time.forked import Launcher
from silosynth.simulations.real_time.host import (
    SiloHost,
    start_launcher,
    wait_for,
)
from silosynth.simulations.real_time.launcher import MODULE
from silosynth.simulations.real_time.link import give_order
from silosynth.simulations.real_time.parcels import (
    RunParcel,
    SiloNotes,
    WireParcel,
    write_files,
)
from silosynth.simulations.scenario import COORDINATOR
from silosynth.simulations.world import Scenario

_START_SECONDS = 300.0
_LOOK_SECONDS = 0.2


class Host(Protocol):
    """A silo's processes, wherever they are."""

    def begin(self, parcel: RunParcel, *, begun: float) -> None:
        """Begin a run at the silo."""

    def end(self) -> SiloNotes | None:
        """End the run, and return what is known of the silo; None where it did not begin."""


Placing = Callable[[Sequence[WireParcel]], AbstractContextManager[Mapping[str, Host]]]
"""What puts silos somewhere: it gives the host of each, and ends them."""


class Wire:
    """Own what runs are carried by: a SuperLink, the hosts of its silos, and their keys."""

    def __init__(
        self, folder: Path, federation: Federation, hosts: Mapping[str, Host], *, launcher: Launcher
    ) -> None:
        """Take what runs already; ``launcher`` forks the lines that silos share."""
        self.folder, self.federation, self.hosts = folder, federation, hosts
        self.keys = {s: SigningKey.load(self.key_file(s)) for s in hosts}
        self.keys[COORDINATOR] = SigningKey.load(federation.identity)
        self._launcher = launcher
        self._lines: dict[str, Path] = {}

    def key_file(self, silo: str) -> Path:
        """Return the path of a silo's key."""
        return self.folder / "certs" / "silos" / silo / "identity.pem"

    def wait_online(self) -> None:
        """Return once every silo's SuperNode is connected; raise ConnectionFailed naming one."""
        deadline = time.monotonic() + _START_SECONDS
        while away := self._away():
            if time.monotonic() > deadline:
                raise ConnectionFailed(f"the SuperNode of silo {away[0]} did not connect")
            time.sleep(_LOOK_SECONDS)

    def _away(self) -> list[str]:
        nodes = list_nodes(self.federation)
        return [silo for silo in self.hosts if nodes.get(silo) != "online"]

    def begin_lines(self, scenario: Scenario, *, begun: float) -> dict[str, str]:
        """Start the lines that silos share; return where each region's leads in."""
        led = {}
        for region in scenario.regions:
            if scenario.line(region) is not None:
                led[region] = self._begin_line(region, scenario, begun=begun)
        return led

    def end_lines(self) -> dict[str, Mapping[str, Any]]:
        """End the lines that silos share, and return what each saw."""
        seen: dict[str, Mapping[str, Any]] = {}
        for region, folder in self._lines.items():
            seen[region] = give_order(folder / "link.sock", {"end": {}})
            shutil.rmtree(folder)
        self._lines.clear()
        return seen

    def _begin_line(self, region: str, scenario: Scenario, *, begun: float) -> str:
        """Start one line; return its address."""
        folder = Path(tempfile.mkdtemp(prefix="silosynth-line-"))
        write_files(folder, _server_files(self.folder / "certs"))
        (folder / "scenario.json").write_text(scenario.model_dump_json(by_alias=True))
        port, log = free_port(), str(folder / "line.log")
        words = [str(folder), str(port), self.federation.superlink]
        self._launcher.start("line", words, directory=str(folder), out=log, log=log)
        orders = folder / "link.sock"
        wait_for(f"the line of region {region}", orders.is_socket)
        world = {"scenario": str(folder / "scenario.json"), "begun": begun, "back": None}
        give_order(orders, {"begin": world | {"silo": scenario.regions[region].names()[0]}})
        self._lines[region] = folder
        return f"127.0.0.1:{port}"


@contextmanager
def wired(
    plan: Plan,
    *,
    placing: Placing | None = None,
    host: str = "127.0.0.1",
    launcher: str = MODULE,
) -> Iterator[Wire]:
    """Start a SuperLink, and a line, a relay and a SuperNode for each silo; end them afterwards.

    Args:
        plan: names the silos; it and others of these silos may be run.
        placing: puts the silos' processes somewhere; on this machine by default.
        host: an address of this machine that the silos' machines reach.
        launcher: a seam for tests: the module that forks processes.
    Raises RunFailed or ConnectionFailed where something does not start.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="silosynth-wire-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        text = dump_plan(plan).encode()
        forks = start_launcher(launcher, folder, plan=text)
        stack.callback(forks.close)
        federation = _start_superlink(forks, folder, plan.silos, host=host)
        certs = folder / "certs"
        admit_nodes(federation, {s: certs / "silos" / s / "supernode.pub" for s in plan.silos})
        parcels = [
            WireParcel(
                silo=silo,
                superlink=federation.superlink,
                files=_server_files(certs) | {"supernode.pem": _node_key(certs, silo)},
                launcher=launcher,
                plan=text,
            )
            for silo in plan.silos
        ]
        place = placing or _here(forks)
        hosts = stack.enter_context(place(parcels))
        wire = Wire(folder, federation, hosts, launcher=forks)
        wire.wait_online()
        yield wire


def _server_files(certs: Path) -> dict[str, bytes]:
    """Return what a line shows: the SuperLink's own certificate, which is for this wire alone."""
    server = certs / "coordinator"
    return {
        "ca.pem": (certs / "ca.pem").read_bytes(),
        "superlink.pem": (server / "superlink.pem").read_bytes(),
        "superlink-key.pem": (server / "superlink-key.pem").read_bytes(),
    }


def _node_key(certs: Path, silo: str) -> bytes:
    """Return the key of a silo's SuperNode."""
    return (certs / "silos" / silo / "supernode.pem").read_bytes()


def _here(launcher: Launcher) -> Placing:
    """Return what puts all silos on this machine, forked from one process."""

    @contextmanager
    def place(parcels: Sequence[WireParcel]) -> Iterator[Mapping[str, Host]]:
        with ExitStack() as stack:
            hosts: dict[str, Host] = {}
            for parcel in parcels:
                host = SiloHost(parcel, launcher=launcher)
                stack.callback(host.close)
                hosts[parcel.silo] = host
            yield hosts

    return place


def _start_superlink(
    launcher: Launcher, folder: Path, silos: Sequence[str], *, host: str
) -> Federation:
    """Start a SuperLink with certificates of its own, as its systemd unit does."""
    hosts = dict.fromkeys(("localhost", "127.0.0.1", host))
    certs = make_certs(folder / "certs", silos=silos, hosts=tuple(hosts))
    server, port = certs.identity.parent, free_port(host)
    options = {
        "--host": host,
        "--port": port,
        "--ssl-certfile": server / "superlink.pem",
        "--ssl-keyfile": server / "superlink-key.pem",
        "--ssl-ca-certfile": certs.ca,
        "--database": folder / "state.db",
        "--isolation": "process",
        "--superexec-auth-secret-file": certs.secret,
    }
    words = [str(Path(sys.executable).with_name("flower-superlink"))]
    words += [str(word) for option in options.items() for word in option]
    words += ["--enable-supernode-auth", "--disable-runtime-dependency-installation"]
    log = folder / "superlink.log"
    process = launcher.start("program", words, directory=str(folder), out=str(log), log=str(log))

    def ready() -> bool:
        if process.poll() is not None:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise RunFailed(f"the SuperLink did not start: {last[:200]}")
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((host, port)) == 0

    wait_for("the SuperLink", ready)
    return Federation(
        superlink=f"{host}:{port}",
        ca=certs.ca,
        identity=certs.identity,
        superexec_secret=certs.secret,
    )
