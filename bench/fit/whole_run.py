"""Run a plan on pooled codes in a process of its own: measure, choose, fit, draw as many rows.

Prints seconds and processor seconds after import, and the peak memory of the process.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from bench.aim.published import count_with_cache
from bench.support.pooled import run_pooled
from silosynth.common.plan import parse_plan
from silosynth.common.sampler import draw_codes
from silosynth.common.schema import parse_schema


def peak_bytes() -> int:
    """Return the most resident memory so far; getrusage would count the parent's before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main(source: Path) -> None:
    """Run the plan of ``source``, an ``.npz`` of codes, schema and plan."""
    with np.load(source) as file:
        codes = file["codes"]
        schema = parse_schema(json.loads(str(file["schema"])))
        plan = parse_plan(json.loads(str(file["plan"])))
    before = peak_bytes()
    start, cpu = time.perf_counter(), time.process_time()
    counts = count_with_cache(codes, domain=schema.domain)
    done = run_pooled(plan, counts, schema=schema, rng=np.random.default_rng(0))
    draw_codes(done.sampler, rows=len(codes), seed=0)
    facts = {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "peak": peak_bytes(),
        "before": before,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
