"""How a whole run grows with the attributes of a table: seconds, seconds of CPU and memory.

``make bench-wide`` makes tables of 125, 250 and 500 answers, yes or no, of 100,000 people of 16
kinds in 20 silos, and runs ``silosynth simulate`` with secret sums from the command to the sampler,
in one process, by the method ``mixture``, which ``plan new`` takes for them. Growth is CPU a pair
in the last step over that in the step before; it is drawn beside the figures. Which method is
nearest on such tables ``make bench-generators`` says.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from math import comb
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.scale.growth import growth_picture
from bench.support.process_tree import watch
from bench.support.results import Figure, is_quick, publish, results_of
from silosynth.common.plan import dump_plan
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.server.planning import new_plan

WIDTHS = (50, 100, 200) if is_quick() else (125, 250, 500)
SILOS, ROWS, KINDS = 20, 500 if is_quick() else 5_000, 16
GATED, MOST_SECONDS, MOST_MB = 500, 120.0, 2048.0


def schema(width: int) -> Schema:
    """Return a schema of so many answers."""
    facts = {"kind": "boolean", "source": "public"}
    return parse_schema(
        {"name": "answers", "attributes": [{"name": f"q{i:03d}", **facts} for i in range(width)]}
    )


def make(folder: Path, *, width: int) -> None:
    """Write schema, tables and the plan that is proposed for them."""
    random = np.random.default_rng(width)
    shares = random.beta(0.5, 0.5, (KINDS, width))
    names = [f"s{i + 1}" for i in range(SILOS)]
    (folder / "tables").mkdir(parents=True)
    for name in names:
        answers = random.random((ROWS, width)) < shares[random.integers(0, KINDS, ROWS)]
        columns = {f"q{i:03d}": column for i, column in enumerate(answers.T)}
        pq.write_table(pa.table(columns), folder / "tables" / f"{name}.parquet")
    (folder / "schema.yaml").write_text(dump_schema(schema(width)))
    plan = new_plan(
        schema(width), epsilon=1.0, delta=1e-6, silos=names, method="mixture", trust="shared"
    )
    (folder / "plan.yaml").write_text(dump_plan(plan))


def figures(folder: Path) -> Iterator[Figure]:
    """Run each width, and yield what it took."""
    command = Path(sys.executable).with_name("silosynth")
    cpu: dict[int, float] = {}
    for width in WIDTHS:
        here = folder / str(width)
        make(here, width=width)
        words = [command, "simulate", here / "plan.yaml", "--schema", here / "schema.yaml"]
        took = watch(
            [*words, "--silos", here / "tables", "--out", here / "run", "--engine", "local"]
        )
        if took.returncode:
            raise RuntimeError(took.error)
        cpu[comb(width, 2)] = took.cpu_seconds
        name = f"{width} attributes, {SILOS} silos, shared noise"
        seconds, most = (MOST_SECONDS, MOST_MB) if width == GATED else (None, None)
        peak = took.peak_bytes / 2**20
        yield Figure(figure=name, value=took.seconds, unit="s", at_most=seconds)
        yield Figure(figure=f"{name}, CPU", value=cpu[comb(width, 2)], unit="s")
        yield Figure(figure=f"{name}, memory", value=peak, unit="MB", at_most=most)
    (first, begun), (middle, half), (last, whole) = cpu.items()
    growth = (whole - half) / (last - middle) / ((half - begun) / (middle - first))
    yield Figure(figure=f"growth to {last:,} pairs", value=growth, unit="times linear")
    picture = results_of("wide") / "growth.svg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(growth_picture(cpu, title="CPU seconds over pairs", of="pairs"))


def main() -> int:
    """Measure beside this file: a file system in memory would flatter."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        return publish("wide", figures(Path(folder)), room="wide", update=True)


if __name__ == "__main__":
    sys.exit(main())
