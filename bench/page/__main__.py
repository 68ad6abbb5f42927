"""How fast a coordinator's pages answer with 100 silos and 1,000 runs, and what an idle page holds.

    make bench-page

prints a table, writes bench/page/results/page.json, and exits with 1 when a gate is missed. The
pages are asked within one process, without a browser or a network between; the keeper is a process
of its own, and what it holds is its proportional set size.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.gateway.idle import shared_mib
from bench.support.results import Figure, publish
from silosynth.common.trust import SigningKey
from silosynth.server.federation import RunState

RUNS, SILOS, UNDER_WAY, ROUNDS = 1_000, 100, 5, 21
MOST_MS, MOST_MIB = 50.0, 20.0
_KEEPER = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
held = os.memfd_create("x")
for one in (listener.fileno(), held):
    os.set_inheritable(one, True)
words = [sys.executable, "-m", "silosynth.common.page.keeper", str(listener.fileno()), str(held)]
os.execv(sys.executable, words)
"""


def main() -> int:
    """Make a home, ask its pages, and measure a keeper that waits."""
    from silosynth.server.page.site import make_site
    from tests.support.asgi import entered, settings
    from tests.support.homes import copy_run, running, whole_run, wide_plan

    figures = []
    with tempfile.TemporaryDirectory(prefix="page-") as name:
        home = Path(name)
        whole = whole_run(home)
        states = (RunState.COMPLETED, RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)
        for number in range(1, RUNS - UNDER_WAY):
            copy_run(whole, home, number=number, state=states[number % len(states)])
        keys = {f"silo-{n}": SigningKey.generate() for n in range(SILOS)}
        with running(home, wide_plan(keys), keys, runs=UNDER_WAY) as found:
            known = settings("silosynth.server.page.site", arguments={"home": str(home)})
            page = entered(make_site(known), known)
            for path in ("/", f"/runs/{found[0].id}", f"/runs/{whole.id}", "/silos", "/api/runs"):
                times = [_milliseconds(page, path) for _ in range(ROUNDS)]
                what = path.replace(found[0].id, "RUNNING").replace(whole.id, "ENDED")
                figures.append(Figure(figure=f"{what}, the first time", value=times[0], unit="ms"))
                middle = statistics.median(times[1:])
                figures.append(Figure(figure=what, value=middle, unit="ms", at_most=MOST_MS))
    held = _keeper_mib()
    figures.append(Figure(figure="page that waits", value=held, unit="MiB", at_most=MOST_MIB))
    return publish("page", tuple(figures), room="page")


def _milliseconds(page: object, path: str) -> float:
    """Return how long one page takes."""
    begun = time.perf_counter()
    answer = page.ask(path)  # type: ignore[attr-defined]  # a test's browser
    taken = 1000 * (time.perf_counter() - begun)
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status}")
    return taken


def _keeper_mib() -> float:
    """Return what a keeper holds that waits for somebody to look."""
    keeper = subprocess.Popen([sys.executable, "-c", _KEEPER])
    try:
        time.sleep(3.0)
        return shared_mib(keeper.pid)
    finally:
        keeper.terminate()
        keeper.wait(30)


if __name__ == "__main__":
    raise SystemExit(main())
