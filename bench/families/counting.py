"""Families of diabetes130 and nycflights13: joined and counted in one process, time and memory.

``make bench-families``. A phase of each: the persons' table and first rows plainly, later rows
with the row before beside them under norm weights, one-ways three times as heavy as pairs. What it
counts is looked at beside pandas. Then how near drawn families are to real ones, by
:mod:`bench.families.accuracy`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from bench.families.accuracy import accuracy
from bench.families.cases import ORDER, Case, diabetes, flights
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


def measure(name: str) -> None:
    """Join and count one data set, and print seconds, memory and what the counts add up to."""
    with TemporaryDirectory() as folder:
        case = {"diabetes130": diabetes, "flights": flights}[name](Path(folder))
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
        off = abs(int(found.weighed[0].sum()) - 3 * 256 * later)
        asked = len(phase.plain) + len(phase.weighed)
        print(used, wall, peak, before, len(rows), asked, off)


def main() -> int:
    """Run each data set in a process of its own and publish the figures."""
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return 0
    figures = []
    for name in ("diabetes130", "flights"):
        command = [sys.executable, "-m", "bench.families", name]
        told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        used, wall, peak, before, rows, asked, off = map(float, told.stdout.split())
        gate = SECONDS if name == "diabetes130" else None
        figures += [
            Figure(figure=f"{name}: count", value=used, unit="cpu s", at_most=gate),
            Figure(figure=f"{name}: count, wall", value=wall, unit="s"),
            Figure(figure=f"{name}: peak", value=peak, unit="MiB", at_most=MEBIBYTES),
            Figure(figure=f"{name}: before", value=before, unit="MiB"),
            Figure(figure=f"{name}: rows", value=rows, unit="rows"),
            Figure(figure=f"{name}: marginals", value=asked, unit="marginals"),
            Figure(figure=f"{name}: rows off", value=off, unit="rows", at_most=0.0),
        ]
    counted = publish("counting", figures, room="families")
    return max(counted, accuracy())


if __name__ == "__main__":
    sys.exit(main())
