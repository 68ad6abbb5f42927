"""A sweep varies one or two things, goes on where it was stopped, and shows every number."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from silosynth.common.errors import InvalidArgument, OutputExists, RunFailed
from silosynth.simulations.sweep import sweep as sweeping
from silosynth.simulations.sweep.axes import AxisName, parse_axes, points
from silosynth.simulations.sweep.picture import curves_picture
from silosynth.simulations.sweep.point import Base, _deal, _plan, _world, run_point
from silosynth.simulations.sweep.sweep import SweepFiles, _as_csv, check_base, sweep
from silosynth.simulations.world import Scenario, read_span
from tests.support.patience import patience
from tests.support.tables.worlds import SILOS, plan, scenario, schema, tables

COLUMNS = ("age", "town", "ill")


def base(*asked: str, world: Scenario | None = None, **changes: Any) -> Base:
    axes = parse_axes(asked, columns=COLUMNS)
    made = plan(**changes)
    return Base(plan=made, schema=schema(), tables=tables(), scenario=world, axes=axes)


BAD = [
    (["speed=1"], "names nothing that can be varied"),
    (["epsilon"], "names nothing that can be varied"),
    (["epsilon="], "is no value"),
    (["epsilon=0"], "above 0"),
    (["epsilon=101"], "up to 100"),
    (["epsilon=nan"], "is expected"),
    (["epsilon=1,1.0"], "a value twice"),
    (["silos=0"], "from 1 to 1000"),
    (["silos=1001"], "from 1 to 1000"),
    (["silos=2.5"], "whole number"),
    (["absent=-1"], "whole number"),
    (["trust=none"], "one of own, shared"),
    (["delay=soon"], "write a time"),
    (["delay=-1s"], "write a time"),
    (["skew=1"], "only a skew names a column"),
    (["epsilon.age=1"], "only a skew names a column"),
    (["skew.height=1"], "no column 'height'"),
    (["epsilon=1", "epsilon=2"], "varied twice"),
    (["epsilon=1", "silos=2", "absent=1"], "3 things are varied"),
]


@pytest.mark.parametrize(("asked", "fault"), BAD)
def test_what_cannot_be_varied_is_refused_in_one_line(asked: list[str], fault: str) -> None:
    with pytest.raises(InvalidArgument, match=fault) as caught:
        parse_axes(asked, columns=COLUMNS)
    assert "\n" not in caught.value.message


def test_every_combination_is_a_point_and_too_many_are_refused(tmp_path: Path) -> None:
    two = base("epsilon=1,2", "delay=20ms,1m")
    assert [dict(p) for p in points(two.axes)] == [
        {"epsilon": e, "delay": d} for e in ("1", "2") for d in ("0.02s", "60s")
    ]
    many = base("epsilon=" + ",".join(str(i) for i in range(1, 101)))
    with pytest.raises(InvalidArgument, match="1100 runs"):
        sweep(many, repeats=11, directory=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_another_number_of_silos_holds_the_same_rows() -> None:
    asked = base("silos=3")
    silos, dealt = _deal(asked, {AxisName.SILOS: "3"}, repeat=0)
    order = [(c, "ascending") for c in COLUMNS]
    import pyarrow as pa

    assert silos == ("s1", "s2", "s3")
    assert pa.concat_tables(dealt.values()).sort_by(order).equals(asked.pooled().sort_by(order))
    assert max(t.num_rows for t in dealt.values()) - min(t.num_rows for t in dealt.values()) <= 1
    again, other = (
        _deal(asked, {AxisName.SILOS: "3"}, repeat=0),
        _deal(asked, {AxisName.SILOS: "3"}, repeat=1),
    )
    assert all(again[1][s].equals(dealt[s]) for s in silos)
    assert not other[1]["s1"].equals(dealt["s1"])


def test_a_world_has_what_is_varied_and_keeps_the_rest() -> None:
    rough = scenario(faults=[{"kind": "loss", "regions": ["us"], "probability": 0.1}])
    asked = base("silos=1,3", "delay=1s", world=rough)
    made = _world(
        asked, {AxisName.SILOS: "3", AxisName.DELAY: "1s"}, silos=("s1", "s2", "s3"), repeat=2
    )
    assert made.homes() == {"s1": "eu", "s3": "eu", "s2": "us"}
    assert {r.link.delay for r in made.regions.values()} == {1_000_000}
    assert (made.seed, len(made.faults)) == (3, 1)
    named = scenario(silos={"west": {"machine": {"speed": 0.1}}})
    with pytest.raises(InvalidArgument, match="names silos"):
        _world(base("silos=3", world=named), {AxisName.SILOS: "3"}, silos=("s1",), repeat=0)


def test_a_plan_is_made_anew_for_what_is_varied_and_keeps_the_rest() -> None:
    asked = base("epsilon=2", "absent=1", deadline_seconds=77, approval_seconds=99)
    made = _plan(asked, {AxisName.EPSILON: "2", AxisName.ABSENT: "1"}, silos=SILOS)
    assert (made.privacy.epsilon, made.deadline_seconds, made.approval_seconds) == (2, 77, 99)
    assert made.on_absent == "continue"
    shared = _plan(asked, {AxisName.TRUST: "shared", AxisName.ABSENT: "1"}, silos=SILOS)
    assert (shared.trust, shared.absent) == ("shared", 1)


def test_a_run_that_fails_is_a_fact_and_does_not_end_the_sweep() -> None:
    facts = run_point(base("absent=4"), {AxisName.ABSENT: "4"}, repeat=0)
    assert facts["ended"] == "invalid-argument"
    assert "4 of 4 silos cannot be absent" in facts["error"]


def test_a_sweep_is_resumed_and_its_files_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, seen = base("absent=0,1"), []
    ran: list[object] = []
    whole = sweeping.run_point  # type: ignore[attr-defined]  # replaced where it is used

    def counted(base: Base, point: Any, *, repeat: int) -> dict[str, Any]:
        if len(ran) == 1:
            ran.append("stopped")
            raise KeyboardInterrupt
        ran.append(dict(point))
        return whole(base, point, repeat=repeat)

    monkeypatch.setattr(sweeping, "run_point", counted)
    files = SweepFiles(path=tmp_path / "s")
    with pytest.raises(KeyboardInterrupt):
        sweep(asked, repeats=1, directory=files.path, workers=1)
    facts = sweep(
        asked,
        repeats=1,
        directory=files.path,
        workers=1,
        progress=lambda done, of: seen.append((done, of)),
    )
    assert ran == [{"absent": "0"}, "stopped", {"absent": "1"}]
    assert seen == [(1, 2), (2, 2)]
    assert [r["took_part"] for r in facts["runs"]] == [4, 3]
    assert all(r["invariants_held"] and 0 < r["distance_2"] < 1 for r in facts["runs"])
    assert json.loads(files.facts.read_text()) == json.loads(json.dumps(facts))
    rows = list(csv.DictReader(files.table.read_text().splitlines()))
    assert [r["distance_2"] for r in rows] == [str(r["distance_2"]) for r in facts["runs"]]
    assert files.picture.read_text() == curves_picture(facts, axes=asked.axes)
    with pytest.raises(OutputExists, match="something else"):
        sweep(base("absent=0"), repeats=1, directory=files.path, workers=1)
    files.run({AxisName.ABSENT: "0"}, repeat=0).write_text("{")
    with pytest.raises(RunFailed, match="is damaged"):
        sweep(asked, repeats=1, directory=files.path, workers=1)


def test_a_picture_shows_each_number_and_a_gap_where_no_run_ended() -> None:
    axes = parse_axes(["epsilon=1,2", "trust=own,shared"], columns=COLUMNS)
    number = {"mean": 0.25, "least": 0.2, "most": 0.3}
    known = {"distance_2": number, "virtual_seconds": {"mean": 90, "least": 60, "most": 120}}
    made = [
        {"point": {k.value: v for k, v in p.items()}} | (known if i else {})
        for i, p in enumerate(points(axes))
    ]
    drawn = curves_picture({"method": "mst", "points": made}, axes=axes)
    assert drawn.count("<circle") == 2 * 3
    assert "1: 0.25 (0.2 to 0.3)" in drawn
    assert "1 min 30 s" in drawn
    assert "trust shared" in drawn
    assert drawn.count(">0.25<") == drawn.count(">1 min 30 s<") == 3


def _places(asked: str) -> list[float]:
    axes = parse_axes([asked], columns=COLUMNS)
    number = {"mean": 0.25, "least": 0.2, "most": 0.3}
    made = [
        {"point": {k.value: v for k, v in p.items()}, "distance_2": number} for p in points(axes)
    ]
    drawn = curves_picture({"method": "mst", "points": made}, axes=axes)
    return [float(x) for x in re.findall(r'<circle cx="([0-9.]+)"', drawn)]


@pytest.mark.parametrize(
    ("asked", "middle"),
    [
        ("epsilon=1,1.25,2", 0.25),
        ("epsilon=2,1.25,1", 0.25),
        ("epsilon=0.1,1,10", 0.5),
        ("absent=0,1,4", 0.25),
        ("delay=1s,4s,16s", 0.5),
    ],
)
def test_values_stand_where_they_are(asked: str, middle: float) -> None:
    first, between, last = _places(asked)
    assert (between - first) / (last - first) == pytest.approx(middle, abs=0.01)


@pytest.mark.parametrize(
    ("text", "spelt"),
    [("50us", "0.00005s"), ("100w", "60480000s"), ("20ms", "0.02s"), ("2s", "2s"), ("0s", "0s")],
)
def test_a_delay_is_spelt_so_that_a_run_reads_it(text: str, spelt: str) -> None:
    (axis,) = parse_axes([f"delay={text}"], columns=COLUMNS)
    assert axis.values == (spelt,)
    assert read_span(spelt) == read_span(text)


def test_a_table_has_each_column_once() -> None:
    asked = base("epsilon=1", "silos=4")
    header = _as_csv(asked, []).splitlines()[0].split(",")
    assert len(set(header)) == len(header)
    assert header[:2] == ["epsilon", "silos"]


_STOPPED = """
import sys
from pathlib import Path
from silosynth.simulations.sweep.sweep import sweep
from tests.simulations.sweep.test_sweep import base

if __name__ == "__main__":
    try:
        sweep(
            base("epsilon=1,2,3,4"),
            repeats=50,
            workers=2,
            directory=Path(sys.argv[1]),
            progress=lambda done, _: print(done, flush=True),
        )
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


def test_a_sweep_that_is_stopped_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "stopped.py").write_text(_STOPPED)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "stopped.py"), str(tmp_path / "s")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["0\n", "1\n"]
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=patience(60))
    assert out.endswith("stopped\n")
    assert err == ""
    assert list((tmp_path / "s" / "runs").iterdir())


def test_a_plan_that_a_sweep_cannot_make_anew_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="has no table"):
        check_base(Base(plan=plan(), schema=schema(), tables={}, scenario=None, axes=()))
