"""No data value is in any log, metric, answer, journal, bundle or file, whatever goes wrong.

Unique tokens stand as data values: categories that the schema does not list, persons' ids, text
where a number should be. Real processes meet them, healthy and broken, and everything that they
leave behind is searched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.common.cli.app import run
from silosynth.common.messages import Refusal, Release
from silosynth.common.reach import free_port
from tests.support.gateways.serving import AS_ROOT, GATEWAY_USER, Serving
from tests.support.gateways.signed import Federation, people_table
from tests.support.patience import patience
from tests.support.tables.canary import CANARY, holds_token

MUTANT, WATCHFUL = (f"tests.support.gateways.serve_{n}" for n in ("mutant", "watchful"))
COMMANDS = ("pending", "releases", "spent", "verify-ledger")
Break = Callable[[Path], None]


def _healthy(_table: Path) -> None:
    """Leave the table as it is: it holds tokens as categories and ids."""


def _text_for_numbers(table: Path) -> None:
    rows = people_table()
    pq.write_table(rows.set_column(0, "age", pa.array([CANARY] * len(rows))), table)


def _wrong_types(table: Path) -> None:
    rows = people_table()
    pq.write_table(rows.set_column(0, "age", pa.array([{"x": CANARY}] * len(rows))), table)


def _missing_column(table: Path) -> None:
    pq.write_table(people_table().rename_columns([CANARY, "sex", "who"]), table)


def _not_a_table(table: Path) -> None:
    table.write_text(f"{CANARY},{CANARY}\n")


def _cut_off(table: Path) -> None:
    table.write_bytes(table.read_bytes()[:-200])


def _gone(table: Path) -> None:
    table.unlink()


BREAKS = (_healthy, _text_for_numbers, _wrong_types, _missing_column, _not_a_table, _cut_off, _gone)


def everything_said(
    serving: Serving,
    capsys: pytest.CaptureFixture[str],
    *,
    port: int,
    started: Callable[[], None] = lambda: None,
    stays: bool = False,
) -> tuple[Release | Refusal, list[bytes]]:
    """Run a gateway through a plan; return its answer and all that it said to anybody."""
    temporary = serving.home / "tmp"
    temporary.mkdir(exist_ok=True)
    temporary.chmod(0o777)
    serving.start(env=os.environ | {"TMPDIR": str(temporary)})
    started()
    federation, plan = serving.federation, serving.federation.plan()
    with serving.gateway() as gateway:
        said = [
            gateway.identify(bytes(32)),
            gateway.propose(plan=federation.sealed(plan)),
            gateway.answer(plan=federation.sealed(plan), request=federation.request(plan)),
            gateway.deliver(b"no bundle"),
        ]
    answer = federation.read(said[2])
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=patience(10)) as page:
        said.append(page.read())
    for command in COMMANDS:
        run(["silo", command, "--policy", str(serving.policy), "--json"])
    said.extend(text.encode() for text in capsys.readouterr())
    if not stays:
        serving.kill()
    return answer, said


def _serving(port: int, **options: Any) -> Serving:
    form = options.pop("form", "text")
    extra = {"metrics": {"port": port}, "logs": {"format": form, "level": "debug"}}
    return Serving(extra=extra, **options)


@pytest.mark.parametrize("breaks", BREAKS)
def test_no_token_gets_out_of_a_gateway(breaks: Break, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    form = "json" if BREAKS.index(breaks) % 2 else "text"
    with _serving(port, form=form) as serving:
        breaks(serving.home / "people.parquet")
        answer, said = everything_said(serving, capsys, port=port)
        fine = breaks in (_healthy, _text_for_numbers)
        assert isinstance(answer, Release if fine else Refusal), answer
        assert holds_token(said, serving.home) == []
        if form == "json":
            assert all(json.loads(line) for line in serving.log.splitlines())


def test_no_token_gets_out_when_the_disk_is_full(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with _serving(port) as serving:

        def fill() -> None:
            assert serving.process is not None
            owner = {"user": GATEWAY_USER, "group": "nogroup", "extra_groups": ()}
            subprocess.run(
                ["prlimit", f"--pid={serving.process.pid}", "--fsize=8192"],
                check=True,
                **(owner if AS_ROOT else {}),
            )

        answer, said = everything_said(serving, capsys, port=port, started=fill)
        assert isinstance(answer, Refusal)
        assert answer.code == "ledger-unavailable"
        assert holds_token(said, serving.home) == []


def test_no_token_gets_out_of_a_gateway_that_is_killed(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with _serving(port) as serving:
        serving.start()
        federation, plan = serving.federation, serving.federation.plan()
        sealed, request = federation.sealed(plan), federation.request(plan)
        with serving.gateway() as gateway:
            gateway.propose(plan=sealed)
            asking = threading.Thread(
                target=gateway.answer, kwargs={"plan": sealed, "request": request}
            )
            asking.start()
            time.sleep(0.05)
            serving.kill()
            answer, said = everything_said(serving, capsys, port=port, stays=True)
            asking.join()
        serving.kill()
        assert isinstance(answer, Release)
        assert holds_token(said, serving.home) == []


def test_a_gateway_that_logs_a_row_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with _serving(port, main=MUTANT) as serving:
        _, said = everything_said(serving, capsys, port=port)
        assert holds_token(said, serving.home) == ["log"]


def test_no_token_gets_out_of_a_simulation(tmp_path: Path) -> None:
    with Serving() as serving:
        silos, out = serving.home / "tables", tmp_path / "run"
        silos.mkdir()
        for name in ("north", "south"):
            pq.write_table(people_table().drop_columns(["who"]), silos / f"{name}.parquet")
        schema, plan = serving.home / "schema.yaml", tmp_path / "plan.yaml"
        words = ["plan", "new", str(schema), "--epsilon", "1", "--delta", "1e-6"]
        assert run([*words, "--silos", "north,south", "--out", str(plan)]) == 0
        simulate = ["simulate", str(plan), "--schema", str(schema), "--silos", str(silos)]
        done = subprocess.run(
            [Path(sys.executable).with_name("silosynth"), *simulate, "--out", str(out)],
            capture_output=True,
            timeout=patience(240),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert holds_token([done.stdout, done.stderr], out) == []


def test_no_token_gets_into_a_mirror_a_notice_a_backup_or_a_request_to_join(
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = free_port()
    with _serving(port, change=_waits_for_a_person, main=WATCHFUL) as serving:
        for name in ("mirror", "notices"):
            folder = serving.home / name
            folder.mkdir()
            if AS_ROOT:
                shutil.chown(folder, GATEWAY_USER)
        beside = {
            "ledger": {"mirror": str(serving.home / "mirror" / "north.mirror")},
            "notify": {"directory": str(serving.home / "notices")},
        }
        serving.federation.change(**beside)
        serving.write_policy()
        serving.start()
        federation, plan = serving.federation, serving.federation.plan()
        out, policy = serving.home / "out", ("--policy", str(serving.policy))
        out.mkdir()
        with serving.gateway() as gateway:
            said = [gateway.propose(plan=federation.sealed(plan))]
            end = time.monotonic() + patience(60)
            while not list((serving.home / "notices").glob("notice-*")):
                assert time.monotonic() < end, serving.log
                time.sleep(0.1)
            assert run(["silo", "approve", plan.digest, *policy, "--yes"]) == 0
            request = federation.request(plan)
            said.append(gateway.answer(plan=federation.sealed(plan), request=request))
        for words in (
            ["backup", str(out / "north.ledger")],
            ["export-audit", str(out / "north.audit")],
            ["prune", "--older", "0d"],
            ["roster"],
        ):
            assert run(["silo", *words, *policy]) == 0
        assert run(["silo", "join", str(out / "east"), "--name", "east"]) == 0
        serving.kill()
        assert run(["silo", "upgrade", "--check", *policy]) == 0
        said.extend(text.encode() for text in capsys.readouterr())
        assert isinstance(federation.read(said[1]), Release)
        assert (serving.home / "mirror" / "north.mirror").stat().st_size > 1000
        assert holds_token(said, serving.home) == []


def _waits_for_a_person(federation: Federation) -> None:
    """Let no plan be approved by the policy itself."""
    federation.approve_none()
