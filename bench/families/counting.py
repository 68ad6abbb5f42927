"""Families joined and counted in one process, time and memory: ``python -m bench counting``.

A phase of each data set: the persons' table and first rows plainly, later rows with the row before
beside them under norm weights, one-ways three times as heavy as pairs. What it counts is looked at
beside pandas.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from bench.families.cases import CASES, ORDER, Case
from bench.support.results import ROOT, Figure, publish
from silosynth.client.families.count import count_families
from silosynth.client.families.join import join_tables
from silosynth.client.families.rows import code_families
from silosynth.common.families import Phase, Question, first_of, later_of, view_domains
from silosynth.common.families.questions import Weighing

SECONDS, MEBIBYTES = 15.0, 600.0


def phase_of(case: Case, length: int) -> Phase:
    """Return one-ways and pairs of all that is counted, and each attribute with the one before."""
    schema, child = case.schema, case.child
    own = [a for a in schema.columns[child].rows.domain.attributes if a != ORDER]
    above = [a for a in view_domains(schema)[first_of(child)].attributes if ": " in a]
    pairs = [*combinations(own, 2), *((a, b) for a in above for b in own)]
    persons = schema.columns[schema.person].rows.domain.attributes
    plain = [Question(view=schema.person, clique=c) for c in combinations(persons, 2)]
    plain += [Question(view=schema.person, clique=(a,)) for a in persons]
    plain += [Question(view=first_of(child), clique=c) for c in [*((a,) for a in own), *pairs]]
    later = later_of(child)
    weighed = [Question(view=later, clique=(a,), scale=3) for a in own]
    weighed += [Question(view=later, clique=c) for c in pairs]
    weighed += [Question(view=later, clique=(f"previous: {a}", a)) for a in own]
    weighing = Weighing(fineness=256, length=length)
    return Phase(plain=tuple(plain), weighed=tuple(weighed), weighing=weighing)


def measure(name: str) -> dict[str, float]:
    """Join and count one data set, and return seconds, memory and what the counts add up to."""
    with TemporaryDirectory() as folder:
        case = CASES[name](Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        # Wide enough that every weight is F: the sums are then exact numbers of rows.
        phase = phase_of(case, length=2**18)
        wall, used = time.perf_counter(), time.process_time()
        with join_tables(case.schema, case.files) as joined:
            views = code_families(joined.blocks(), schema=case.schema, secret=bytes(32))
            found = count_families(views, schema=case.schema, phase=phase)
        used, wall = time.process_time() - used, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        known = set(pd.read_parquet(case.files[case.schema.person])[case.by])
        rows = case.rows[case.rows[case.by].isin(known)]
        later = len(rows) - rows[case.by].nunique()
        return {
            "count": used,
            "count, wall": wall,
            "peak": peak,
            "before": before,
            "rows": float(len(rows)),
            "marginals": float(len(phase.plain) + len(phase.weighed)),
            "rows off": float(abs(int(found.weighed[0].sum()) - 3 * 256 * later)),
        }


def counting() -> int:
    """Count each data set in a process of its own and publish the figures."""
    figures = []
    for name in CASES:
        command = [sys.executable, "-m", "bench.families.counting", name]
        told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        gates = {"peak": MEBIBYTES, "rows off": 0.0}
        gates |= {"count": SECONDS} if name == "diabetes130" else {}
        units = {"count": "cpu s", "count, wall": "s", "peak": "MiB", "before": "MiB"}
        figures += [
            Figure(
                figure=f"{name}: {fact}",
                value=value,
                unit=units.get(fact, "marginals" if fact == "marginals" else "rows"),
                at_most=gates.get(fact),
            )
            for fact, value in json.loads(told.stdout).items()
        ]
    return publish("counting", figures, room="families")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        sys.exit(counting())
