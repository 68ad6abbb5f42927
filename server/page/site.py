"""The pages of a coordinator: nothing on them begins, stops or decides anything."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response

from silosynth.common.certificate import plain_words
from silosynth.common.envelope import envelope
from silosynth.common.errors import InvalidArgument, RunFailed
from silosynth.common.page import (
    NoSuchPage,
    Pages,
    PageSettings,
    Site,
    page_number,
    read_form,
    saved_page,
)
from silosynth.server.federation import RunState, is_pruned, run_facts
from silosynth.server.page.drawing import MOST_ROWS, draw_file, read_wanted
from silosynth.server.page.nodes import Nodes
from silosynth.server.page.overview import Overview, Seen

_FOLDER = Path(__file__).parent
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_MENU = {"/": "Runs", "/silos": "Silos"}
_ON_A_PAGE = 50
_MOST_SENT = 300
_REPORT_SECONDS = 1800.0


def make_site(settings: PageSettings) -> Site:
    """Return the pages of the coordinator whose home the settings name."""
    overview = Overview(Path(settings.arguments["home"]))
    nodes = Nodes(overview.home)

    def attach(app: FastAPI, pages: Pages) -> None:
        _add_runs(app, pages, overview)
        _add_results(app, pages, overview)
        _add_silos(app, pages, overview, nodes)

    return Site(
        name="Coordinator",
        folder=_FOLDER,
        menu=_MENU,
        mark=overview.mark,
        api={"runs": lambda: {"runs": [_facts(run) for run in reversed(overview.runs())]}},
        schema=json.loads((_FOLDER / "api.schema.json").read_text(encoding="utf-8")),
        attach=attach,
        filters={},
    )


def _add_runs(app: FastAPI, pages: Pages, overview: Overview) -> None:
    """Add the list of runs, and what is known of each."""

    def runs(request: Request) -> Response:
        found = overview.runs()
        page = page_number(request, of=len(found), on_a_page=_ON_A_PAGE)
        shown = found[page.first : page.first + _ON_A_PAGE]
        rows = [(run, _stage(run, overview), overview.certificate(run)) for run in shown]
        open_runs = sum(run.is_open for run in found)
        return pages.show(
            request,
            "runs.html.j2",
            title="Runs",
            rows=rows,
            count=len(found),
            open=open_runs,
            page=page,
        )

    def run(request: Request, run_id: str) -> Response:
        found = _find(overview, run_id)
        certificate = overview.certificate(found)
        known: dict[str, Any] = {"silos": [], "sent": [], "waiting": overview.waiting(found)}
        if not is_pruned(found.files):
            reader = overview.reader(found)
            known |= {"silos": reader.silos(), "sent": reader.sent()[:_MOST_SENT]}
        return pages.show(
            request,
            "run.html.j2",
            title="Run",
            run=found,
            stage=_stage(found, overview),
            promises=() if certificate is None else plain_words(certificate),
            has_report=(found.files.path / "report.html").is_file(),
            has_sampler=found.files.sampler.is_file(),
            most_rows=MOST_ROWS,
            **known,
        )

    def status(run_id: str) -> Response:
        found = _find(overview, run_id)
        facts = _facts(found)
        if is_pruned(found.files):
            return JSONResponse(envelope({**facts, "pruned": True}))
        waiting = {s: w.model_dump(mode="json") for s, w in overview.waiting(found).items()}
        stage, _, _ = overview.reader(found).stage()
        return JSONResponse(envelope({**facts, "stage": stage, "waiting": waiting}))

    app.add_api_route("/", runs, methods=["GET"], response_model=None)
    app.add_api_route("/runs/{run_id}", run, methods=["GET"], response_model=None)
    app.add_api_route("/api/runs/{run_id}", status, methods=["GET"], response_model=None)


def _add_results(app: FastAPI, pages: Pages, overview: Overview) -> None:
    """Add what came of a run: files to take, rows to draw, its report."""
    making = asyncio.Lock()

    def file(run_id: str, name: str, kind: str) -> Response:
        files = _find(overview, run_id).files
        path = files.path / name
        if not path.is_file():
            raise NoSuchPage(f"run {files.id} has no {name}")
        return FileResponse(path, media_type=kind, filename=f"{files.id}-{name}")

    def sampler(run_id: str) -> Response:
        return file(run_id, "result.sampler", "application/octet-stream")

    def certificate(run_id: str) -> Response:
        return file(run_id, "certificate.json", "application/json")

    def report(run_id: str) -> Response:
        return saved_page(_find(overview, run_id).files.path / "report.html")

    async def rows(request: Request, run_id: str) -> Response:
        wanted = read_wanted(await read_form(request))
        files = _find(overview, run_id).files
        if not files.sampler.is_file():
            raise InvalidArgument(f"run {files.id} has no sampler yet")
        data = await run_in_threadpool(draw_file, files.sampler, wanted)
        name = f"{files.id}-{wanted.rows}-{wanted.seed}.{wanted.ending}"
        kept = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(data, media_type=wanted.media_type, headers=kept)

    async def make_report(request: Request, run_id: str) -> Response:
        await read_form(request)
        found = _find(overview, run_id)
        if found.ended.state is not RunState.COMPLETED or is_pruned(found.files):
            raise InvalidArgument(f"run {run_id} has nothing to report")
        if making.locked():
            raise InvalidArgument("another report is being made", hint="wait for it")
        async with making:
            await _make_report(run_id)
        return RedirectResponse(f"/runs/{run_id}/report", status_code=303)

    for path, answer in (
        ("sampler", sampler),
        ("certificate", certificate),
        ("report", report),
    ):
        app.add_api_route(f"/runs/{{run_id}}/{path}", answer, methods=["GET"], response_model=None)
    app.add_api_route("/runs/{run_id}/rows", rows, methods=["POST"], response_model=None)
    app.add_api_route("/runs/{run_id}/report", make_report, methods=["POST"], response_model=None)


async def _make_report(run_id: str) -> None:
    """Have a process of its own write a run's report: its model is fitted again for it."""
    words = ("-m", "silosynth.common.cli", "report", run_id, "--force")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        code = await asyncio.wait_for(process.wait(), timeout=_REPORT_SECONDS)
    except TimeoutError:
        process.kill()
        raise RunFailed(f"the report of run {run_id} took too long") from None
    if code:
        raise RunFailed(
            f"the report of run {run_id} could not be made",
            hint=f"'silosynth report {run_id}' says why",
        )


def _add_silos(app: FastAPI, pages: Pages, overview: Overview, nodes: Nodes) -> None:
    """Add whom runs wait for, and who is connected."""

    def silos(request: Request) -> Response:
        open_runs = [run for run in overview.runs() if run.is_open]
        waiting = [
            (silo, run.files.id, standing)
            for run in open_runs
            for silo, standing in overview.waiting(run).items()
        ]
        return pages.show(
            request,
            "silos.html.j2",
            title="Silos",
            waiting=waiting,
            left=overview.left(),
            federations=nodes.all(),
        )

    app.add_api_route("/silos", silos, methods=["GET"], response_model=None)


def _stage(run: Seen, overview: Overview) -> str:
    """Say at what a run is, while it goes on."""
    if not run.is_open and run.ended.state is not RunState.INTERRUPTED:
        return ""
    name, done, of = overview.reader(run).stage()
    return name if name == "fit" else f"{name}: {done} of {of}"


def _facts(run: Seen) -> Mapping[str, Any]:
    """Return what 'silosynth runs --json' says of a run."""
    return run_facts(run.files, run.begun, run.ended)


def _find(overview: Overview, run_id: str) -> Seen:
    """Return a run by the name in a path."""
    if not _RUN.fullmatch(run_id):
        raise NoSuchPage("there is no such page")
    try:
        return overview.find(run_id)
    except InvalidArgument:
        raise NoSuchPage("there is no such run") from None
