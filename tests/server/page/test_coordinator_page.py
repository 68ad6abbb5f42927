"""A coordinator's page shows its runs as they stand, and what came of them; it decides nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from silosynth.common.cli.app import run
from silosynth.common.messages import Left
from silosynth.common.trust import SigningKey
from silosynth.server.federation import RunFiles, RunState
from silosynth.server.federation.standing import keep_left
from silosynth.server.page.overview import Overview
from silosynth.server.page.site import make_site
from tests.support.asgi import Browser, entered, settings
from tests.support.homes import copy_run, running, whole_run, wide_plan

SITE = "silosynth.server.page.site"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a home with one whole run, copies of it, and one that runs with ten silos."""
    found = tmp_path_factory.mktemp("home")
    whole = whole_run(found)
    for number, state in enumerate((RunState.FAILED, RunState.CANCELLED, RunState.INTERRUPTED), 1):
        copy_run(whole, found, number=number, state=state)
    keys = {f"silo-{n}": SigningKey.generate() for n in range(10)}
    with running(found, wide_plan(keys), keys, runs=1):
        yield found


@pytest.fixture(scope="module")
def whole(home: Path) -> RunFiles:
    return RunFiles(path=next((home / "runs").glob("*-aaaa")))


@pytest.fixture(scope="module")
def page(home: Path) -> Browser:
    known = settings(SITE, arguments={"home": str(home)})
    return entered(make_site(known), known)


def test_runs_are_shown_with_how_far_they_are(page: Browser, home: Path) -> None:
    shown = page.ask("/").text
    assert "5 runs, 1 of them under way" in shown
    assert "propose: 5 of 10" in shown
    for state in ("completed", "failed", "cancelled", "interrupted", "running"):
        assert f">{state}</span>" in shown


def test_a_run_says_of_each_silo_why_it_is_waited_for(page: Browser, home: Path) -> None:
    (wide,) = (home / "runs").glob("wide-*")
    shown = page.ask(f"/runs/{wide.name}").text
    assert shown.count("yes</td>") == 5
    for words in (
        "not connected since",
        "connected, but its gateway does not answer since",
        "waits for a person there since",
    ):
        assert words in shown
        assert words in page.ask("/silos").text


def test_budgets_that_silos_make_public_are_shown_as_said_last(page: Browser, home: Path) -> None:
    assert "Left to spend" not in page.ask("/silos").text
    for name, share in (("*-aaaa", 0.75), ("wide-*", 0.5)):  # the wide run is the newer one
        (path,) = (home / "runs").glob(name)
        left = {"default": Left(share=share, epsilon=20.0, delta=1e-6)}
        keep_left(path / "left.json", "north", left)
    shown = page.ask("/silos").text
    assert "50.0% of epsilon 20 at delta 1e-06" in shown
    assert "75.0%" not in shown
    for path in (home / "runs").glob("*/left.json"):
        path.unlink()


def test_a_run_that_ended_gives_its_files_and_promises(page: Browser, whole: RunFiles) -> None:
    shown = page.ask(f"/runs/{whole.id}").text
    assert "differential privacy" in shown
    assert shown.count("delivered</td>") == 3
    assert page.ask(f"/runs/{whole.id}/sampler").body == whole.sampler.read_bytes()
    assert page.ask(f"/runs/{whole.id}/certificate").body == whole.certificate.read_bytes()


def test_rows_are_drawn_as_the_command_line_draws_them(
    page: Browser, whole: RunFiles, tmp_path: Path
) -> None:
    page.ask(f"/runs/{whole.id}")
    fields = {"rows": "200", "seed": "3", "where": "region=n\nage=5..9\n"}
    drawn = page.send(f"/runs/{whole.id}/rows", fields | {"format": "csv"})
    assert drawn.status == 200, drawn.text
    out = tmp_path / "rows.csv"
    words = ["sample", str(whole.sampler), "--rows", "200", "--seed", "3", "--out", str(out)]
    assert run([*words, "--where", "region=n", "--where", "age=5..9"]) == 0
    assert drawn.body == out.read_bytes()
    table = pacsv.read_csv(io.BytesIO(drawn.body))
    assert set(table["region"].to_pylist()) == {"n"}
    parquet = page.send(f"/runs/{whole.id}/rows", fields | {"format": "parquet"})
    assert len(pq.read_table(io.BytesIO(parquet.body))) == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": "100001"},
        {"rows": "-1"},
        {"rows": "many"},
        {"seed": "9" * 40},
        {"where": "nothing=1"},
        {"where": "age"},
        {"format": "pickle"},
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    page: Browser, whole: RunFiles, changes: dict[str, str]
) -> None:
    page.ask(f"/runs/{whole.id}")
    fields = {"rows": "5", "seed": "1", "format": "csv"} | changes
    answer = page.send(f"/runs/{whole.id}/rows", fields)
    assert answer.status == 400
    assert 'role="alert"' in answer.text


def test_a_report_is_shown_closed_off(page: Browser, whole: RunFiles, home: Path) -> None:
    assert page.ask(f"/runs/{whole.id}/report").status == 404
    (whole.path / "report.html").write_text("<style>p{color:red}</style><p>Report</p>")
    answer = page.ask(f"/runs/{whole.id}/report")
    (whole.path / "report.html").unlink()
    policy = answer.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "'sha256-" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy


def test_the_api_says_what_the_command_line_says_by_its_schema(
    page: Browser,
    whole: RunFiles,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SILOSYNTH_HOME", str(home))
    schema = json.loads(page.ask("/api/schema").body)
    assert run(["runs", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    told = json.loads(page.ask("/api/runs").body)
    jsonschema.validate(told, schema | {"anyOf": [{"$ref": "#/$defs/runs"}]})
    assert told == said
    for one in said["data"]["runs"]:
        assert run(["status", one["run_id"], "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        told = json.loads(page.ask(f"/api/runs/{one['run_id']}").body)
        jsonschema.validate(told, schema | {"anyOf": [{"$ref": "#/$defs/status"}]})
        assert told == shown


@pytest.mark.parametrize("name", ["nothing", "..", "a%2fb", "-x", "x" * 300])
def test_no_other_folder_is_taken_for_a_run(page: Browser, name: str) -> None:
    for path in (f"/runs/{name}", f"/runs/{name}/sampler", f"/api/runs/{name}"):
        assert page.ask(path).status == 404


def test_a_run_is_read_again_when_something_happened(tmp_path: Path, whole: RunFiles) -> None:
    run_files = copy_run(whole, tmp_path, number=1, state=RunState.INTERRUPTED)
    overview = Overview(tmp_path)
    before = overview.mark()
    assert overview.mark() == before
    copy_run(whole, tmp_path, number=2, state=RunState.COMPLETED)
    second = overview.mark()
    assert second != before
    (run_files.path / "outcome.json").write_text('{"state": "failed"}')
    assert overview.mark() != second
    assert {r.ended.state for r in overview.runs()} == {RunState.FAILED, RunState.COMPLETED}
