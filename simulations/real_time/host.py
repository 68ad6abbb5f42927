"""A silo's processes on one machine: its line, its relay with a SuperNode, and its gateway.

The host keeps up what the scenario says is up: a machine that is off has neither relay nor gateway,
a gateway that was killed comes back when it was said.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from silosynth.client.ledger import Ledger
from silosynth.client.rpc import is_serving
from silosynth.common.errors import RunFailed, SilosynthError
from silosynth.common.reach import free_port
from silosynth.simulations.real_time.forked import Forked, Launcher
from silosynth.simulations.real_time.gateway import DIED
from silosynth.simulations.real_time.link import give_order
from silosynth.simulations.real_time.parcels import (
    LEDGER,
    LEFT,
    NOTES,
    PLAN,
    SCENARIO,
    SETTINGS,
    RunParcel,
    SiloNotes,
    WireParcel,
    read_lines,
    write_files,
)
from silosynth.simulations.world import (
    SECOND,
    Crash,
    Outage,
    Place,
    Scenario,
    load_scenario,
    make_places,
)

_LOOK_SECONDS = 0.05
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_FAULTS: Mapping[str, type[Crash] | type[Outage]] = {"crash": Crash, "outage": Outage}
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def environment(folder: Path) -> dict[str, str]:
    """Return what processes of a federation are told: Flower keeps its files here alone."""
    quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
    return os.environ | _ONE_THREAD | quiet | {"FLWR_HOME": str(folder / "flwr")}


def start_launcher(module: str, folder: Path, *, plan: bytes) -> Launcher:
    """Start what forks the processes of silos on this machine.

    Args: plan: one of the kind that is to come, which they are made ready for.
    """
    write_files(folder, {PLAN: plan})
    words, log = [str(folder / PLAN)], folder / "launcher.log"
    return Launcher(module, environment=environment(folder), log=log, words=words)


class SiloHost:
    """Own one silo's processes. Its line and relay outlive a run; its gateway is a run's."""

    def __init__(self, parcel: WireParcel, *, launcher: Launcher | None = None) -> None:
        """Start the silo's line and its relay.

        Args: launcher: what forks them; one of this host's own by default.
        """
        self.silo = parcel.silo
        # A socket's path has to be short.
        self._folder = Path(tempfile.mkdtemp(prefix="silosynth-"))
        write_files(self._folder, parcel.files)
        self._launcher = launcher or start_launcher(parcel.launcher, self._folder, plan=parcel.plan)
        self._is_own = launcher is None
        self._up: dict[str, Forked] = {}
        self._run: _Run | None = None
        port = free_port()
        self._superlink = f"127.0.0.1:{port}"
        self._start("link", [str(self._folder), str(port), parcel.superlink])
        wait_for(f"the line of silo {self.silo}", self._orders.is_socket)
        self._start_relay()

    def begin(self, parcel: RunParcel, *, begun: float) -> None:
        """Begin a run: a new gateway, and a scenario whose clock begins at ``begun``.

        Args: begun: of ``time.time``.
        """
        folder = self._folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        write_files(folder, parcel.files)
        settings = json.loads(parcel.files[SETTINGS]) | {"begun": begun}
        write_files(folder, {SETTINGS: json.dumps(settings).encode()})
        scenario = load_scenario(folder / SCENARIO)
        place = make_places(scenario, [self.silo])[self.silo]
        Ledger.create(folder / LEDGER, clock=lambda: place.time(0))
        run = _Run(folder, scenario=scenario, place=place, begun=begun)
        world = {"scenario": str(folder / SCENARIO), "silo": self.silo}
        self._order({"begin": world | {"begun": begun, "back": parcel.back}})
        self._run = run
        self._start_gateway(run)
        wait_for(f"the gateway of silo {self.silo}", lambda: is_serving(self._socket))
        run.watch = threading.Thread(target=self._keep, args=(run,), daemon=True)
        run.watch.start()

    def end(self) -> SiloNotes | None:
        """End the run's gateway, and return what is known of the silo; None where none began."""
        run, self._run = self._run, None
        if run is None:
            return None
        run.over.set()
        if run.watch is not None:
            run.watch.join()
        self._stop("gateway")
        link = self._order({"end": {}})
        if "relay" not in self._up:
            self._start_relay()
        return self._notes(run, link)

    def close(self) -> None:
        """End all of the silo's processes."""
        if self._run is not None:
            self._run.over.set()
        for name in list(self._up):
            self._stop(name)
        if self._is_own:
            self._launcher.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _orders(self) -> Path:
        return self._folder / "link.sock"

    @property
    def _socket(self) -> Path:
        return self._folder / "gateway.sock"

    def _order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        return give_order(self._orders, order)

    def _start(self, name: str, words: list[str]) -> None:
        """Fork one process, whose output goes to a log beside its files."""
        log = str(self._folder / f"{name}.log")
        self._up[name] = self._launcher.start(
            name, words, directory=str(self._folder), out=log, log=log
        )

    def _start_relay(self) -> None:
        words = ["--superlink", self._superlink, "--silo", self.silo]
        words += ["--gateway", str(self._socket), "--ca", str(self._folder / "ca.pem")]
        self._start("relay", [*words, "--key", str(self._folder / "supernode.pem")])

    def _start_gateway(self, run: _Run) -> None:
        with suppress(FileNotFoundError):
            self._socket.unlink()
        self._start("gateway", [str(run.folder), str(self._socket), str(self._orders)])

    def _stop(self, name: str) -> None:
        """Kill a process, as a machine does that goes off. A relay takes its node with it."""
        process = self._up.pop(name, None)
        if process is not None:
            process.kill()
            with suppress(TimeoutExpired):
                process.wait(_STOP_SECONDS)

    def _keep(self, run: _Run) -> None:
        """Keep up what is to be up, until the run is over."""
        try:
            while not run.over.wait(_LOOK_SECONDS):
                self._look(run)
        except SilosynthError as err:
            run.faults.append(f"silo {self.silo}: {err.message}")

    def _look(self, run: _Run) -> None:
        """Take what ended, stop what is to be off, and start what is to be up."""
        gateway, relay = self._up.get("gateway"), self._up.get("relay")
        if gateway is not None and gateway.poll() is not None:
            self._up.pop("gateway")
            run.ended(gateway.poll(), log=self._folder / "gateway.log", silo=self.silo)
        if relay is not None and relay.poll() is not None:
            self._up.pop("relay")
            run.faults.append(f"the relay of silo {self.silo} ended by itself")
        off = run.off()
        for name in [n for n in off if n in self._up]:
            self._stop(name)
        if "gateway" not in off and "gateway" not in self._up and not run.faults:
            self._start_gateway(run)
        if "relay" not in off and "relay" not in self._up and not run.faults:
            self._start_relay()

    def _notes(self, run: _Run, link: Mapping[str, Any]) -> SiloNotes:
        """Read what the silo's processes wrote down."""
        left: dict[str, bytes] = {}
        conflicts = 0
        for line in read_lines(run.folder / LEFT):
            data = base64.b64decode(line["data"])
            conflicts += left.setdefault(line["request"], data) != data
        notes = read_lines(run.folder / NOTES)
        return SiloNotes(
            silo=self.silo,
            notes=tuple(n for n in notes if n["what"] != "told"),
            left=left,
            conflicts=conflicts,
            ledger=_image(run.folder / LEDGER),
            told=tuple(n["line"] for n in notes if n["what"] == "told"),
            link=link,
            faults=tuple(run.faults),
        )


class _Run:
    """What a host knows of the run at hand."""

    def __init__(self, folder: Path, *, scenario: Scenario, place: Place, begun: float) -> None:
        self.folder, self.scenario, self.place, self.begun = folder, scenario, place, begun
        self.over = threading.Event()
        self.watch: threading.Thread | None = None
        self.faults: list[str] = []
        self._taken = 0

    def ended(self, code: int | None, *, log: Path, silo: str) -> None:
        """Take why a gateway ended: the scenario's doing is in its notes, all else is a fault."""
        if code != DIED:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2][:200]
            self.faults.append(f"the gateway of silo {silo} ended by itself ({code}): {last}")
            return
        deaths = [n for n in read_lines(self.folder / NOTES) if n["what"] in _FAULTS]
        for note in deaths[self._taken :]:
            fault = _FAULTS[note["what"]].model_validate(note["fault"])
            self.place.befallen(fault, now=note["begin"], until=note["until"])
        self._taken = len(deaths)

    def off(self) -> frozenset[str]:
        """Return which processes are not to be up now."""
        now = round((time.time() - self.begun) * SECOND)
        kinds = {s.kind for s in self.place.stretches(now) if s.holds(now)}
        if kinds & {"outage", "churn"}:
            return frozenset({"gateway", "relay"})
        return frozenset({"gateway"} if "crash" in kinds else ())


def _image(path: Path) -> bytes:
    """Return a ledger's bytes after its last process has ended, whatever ended it."""
    with Ledger.open(path, caps={}) as ledger:
        return ledger.image()


def wait_for(what: str, ready: Callable[[], bool]) -> None:
    """Return once something is there; raise RunFailed where it does not come."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(_LOOK_SECONDS)
    raise RunFailed(f"{what} did not start within {_START_SECONDS:.0f} s")
