"""A whole run over real processes, beside the same run by the one-process driver.

Three silos, a SuperLink with TLS and authentication, relays, gateways and a coordinator, as in
``tests/processes``: the time is that of ``silosynth run``, from its start to its end. The other
driver calls the same gateways in turn, without network or processes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench.support.results import Figure

REPEATS = 3


def run_figures() -> tuple[Figure, ...]:
    """Run plans of three phases in turns with the one-process driver; return medians."""
    from tests.processes.federation import SILOS, Federation, federation_plan
    from tests.processes.one_process import copy_of_silos, sample_in_one_process

    seeds = {silo: i for i, silo in enumerate(SILOS)}
    over_processes, alone = [], []
    with tempfile.TemporaryDirectory(prefix="run-") as name, Federation(Path(name)) as federation:
        twin = copy_of_silos(federation, Path(name) / "twin")
        federation.start()
        for i in range(REPEATS):
            federation.write_plan(federation_plan(federation.certs, plan_id=f"p{i}", epsilon=2.0))
            start = time.perf_counter()
            done = federation.run()
            over_processes.append(time.perf_counter() - start)
            if done["exit_code"]:
                raise SystemExit(f"the run failed: {federation.log('coordinator')}")
            journal = Path(name) / f"journal-{i}"
            journal.mkdir()
            start = time.perf_counter()
            sample_in_one_process(twin, journal, plan=federation.plan, seeds=seeds)
            alone.append(time.perf_counter() - start)
    return (
        Figure(
            figure="a run of three silos and three phases over processes, beside one process",
            value=statistics.median(over_processes),
            spread=(max(over_processes) - min(over_processes)) / 2,
            peer=statistics.median(alone),
            unit="s",
        ),
    )
