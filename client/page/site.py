"""The pages of a silo: read by who entered, decided by the approver's own credential alone."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from silosynth.client.desk import Facts, plan_words, short_digest, short_scope
from silosynth.client.page.asking import Asking, api_of
from silosynth.client.page.drawn import draw_share, draw_spent
from silosynth.common.accounting import rounded_up
from silosynth.common.errors import InvalidArgument
from silosynth.common.page import (
    NoSuchPage,
    Pages,
    PageSettings,
    Site,
    is_secret,
    page_number,
    read_form,
    saved_page,
    session_of,
)
from silosynth.common.trust import plain_text

_FOLDER = Path(__file__).parent
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MENU = {
    "/": "What waits",
    "/spent": "Spent",
    "/left": "What left",
    "/roster": "Roster",
    "/evaluation": "Evaluation",
}
_ON_A_PAGE = 100
_MOST_WHY = 500


def make_site(settings: PageSettings) -> Site:
    """Return the pages of the silo whose policy the settings name."""
    asking = Asking(Path(settings.arguments["policy"]))
    told = settings.arguments.get("evaluation")
    evaluation = None if told is None else Path(told)

    def attach(app: FastAPI, pages: Pages) -> None:
        _add_pages(app, pages, asking)
        _add_decisions(app, pages, asking)
        _add_evaluation(app, pages, evaluation)

    return Site(
        name=f"Silo {asking.policy.silo.name}",
        folder=_FOLDER,
        menu={p: w for p, w in _MENU.items() if p != "/evaluation" or evaluation is not None},
        mark=asking.mark,
        api=api_of(asking),
        schema=json.loads((_FOLDER / "api.schema.json").read_text(encoding="utf-8")),
        attach=attach,
        filters={"share": draw_share, "words": plan_words, "short": short_digest, "hex": _hex}
        | {"rounded_up": rounded_up, "scope": short_scope},
    )


def _add_pages(app: FastAPI, pages: Pages, asking: Asking) -> None:
    """Add what is read."""
    deciding = {"needed": asking.policy.approving().needed, "by_code": bool(pages.settings.code)}

    def waits(request: Request) -> Response:
        plans = asking.waits()
        return pages.show(request, "waits.html.j2", title="What waits", plans=plans)

    def plan(request: Request, digest: str) -> Response:
        found = asking.find(_checked(digest))
        return pages.show(
            request, "decide.html.j2", title="Decide", plan=found, digest=digest, **deciding
        )

    def signed_plan(digest: str) -> Response:
        sealed = base64.b64decode(asking.sealed(_checked(digest)))
        kept = {"Content-Disposition": f'attachment; filename="{digest[:12]}.plan"'}
        return Response(sealed, media_type="application/octet-stream", headers=kept)

    def spent(request: Request) -> Response:
        releases = asking.releases()
        return pages.show(
            request,
            "spent.html.j2",
            title="Spent",
            scopes=asking.spent(),
            curve=draw_spent(releases, now=datetime.now(UTC)),
            first=releases[0]["at"] if releases else "",
            rho=sum(r["rho"] for r in releases),
        )

    def left(request: Request) -> Response:
        newest = asking.releases()[::-1]
        page = page_number(request, of=len(newest), on_a_page=_ON_A_PAGE)
        shown = newest[page.first : page.first + _ON_A_PAGE]
        return pages.show(
            request,
            "left.html.j2",
            title="Everything that ever left",
            releases=shown,
            count=len(newest),
            page=page,
        )

    def roster(request: Request) -> Response:
        rosters = asking.rosters()
        return pages.show(request, "roster.html.j2", title="Roster", rosters=rosters)

    for path, answer in (
        ("/", waits),
        ("/plans/{digest}", plan),
        ("/plans/{digest}/signed", signed_plan),
        ("/spent", spent),
        ("/left", left),
        ("/roster", roster),
    ):
        app.add_api_route(path, answer, methods=["GET"], response_model=None)


def _add_decisions(app: FastAPI, pages: Pages, asking: Asking) -> None:
    """Add what a person decides."""

    async def decide(request: Request, digest: str) -> Response:
        fields = await read_form(request)
        if asking.policy.approving().needed:
            raise InvalidArgument(
                "this silo's policy asks for signed decisions of its approvers",
                hint="have them sign the plan, and send what they signed",
            )
        if pages.settings.code is None:
            raise InvalidArgument(
                "this page reads only", hint="start it with --decide, or use the command line"
            )
        if not is_secret(fields.get("code", "").strip(), kept=pages.settings.code):
            raise InvalidArgument("that was not the code", hint="nothing was decided")
        approve = _verdict(fields)
        why = _why(fields, request=request)
        if not approve and not fields.get("why", "").strip():
            raise InvalidArgument("a refusal needs a reason", hint="the coordinator is told it")
        done = await run_in_threadpool(
            asking.decide,
            _checked(digest),
            approve=approve,
            why=why,
            although="although" in fields,
        )
        return pages.show(request, "decided.html.j2", title="Decided", done=done)

    async def take_in(request: Request) -> Response:
        fields = await read_form(request)
        signed = fields.get("signed", "").encode("latin-1", "replace")
        if not signed:
            raise InvalidArgument("there is no signed decision in this form")
        text = plain_text(signed)
        done = await run_in_threadpool(asking.take_in, text, although="although" in fields)
        return pages.show(request, "taken.html.j2", title="Taken in", done=done)

    app.add_api_route("/plans/{digest}", decide, methods=["POST"], response_model=None)
    app.add_api_route("/signed", take_in, methods=["POST"], response_model=None)


def _add_evaluation(app: FastAPI, pages: Pages, folder: Path | None) -> None:
    """Add the silo's own evaluation of a result, which speaks of its rows."""
    if folder is None:
        return

    def evaluation(request: Request) -> Response:
        there = (folder / "report.html").is_file()
        return pages.show(request, "evaluation.html.j2", title="Evaluation", there=there)

    def page() -> Response:
        return saved_page(folder / "report.html")

    app.add_api_route("/evaluation", evaluation, methods=["GET"], response_model=None)
    app.add_api_route("/evaluation/report", page, methods=["GET"], response_model=None)


def _verdict(fields: Mapping[str, str]) -> bool:
    """Return whether a form approves; raise InvalidArgument for one that says neither."""
    verdict = fields.get("verdict")
    if verdict not in ("approve", "refuse"):
        raise InvalidArgument("a decision approves or refuses")
    return verdict == "approve"


def _why(fields: Mapping[str, str], *, request: Request) -> str | None:
    """Return the reason that a form gives, and whom the reverse proxy named."""
    why = " ".join(fields.get("why", "").split())
    if len(why) > _MOST_WHY:
        raise InvalidArgument(f"a reason has up to {_MOST_WHY} characters")
    session = session_of(request)
    user = session.user if session is not None else ""
    said = f"by the page of {user}" if user else ""
    return "; ".join(filter(None, (why, said))) or None


def _checked(digest: str) -> str:
    """Return a digest of a path; raise NoSuchPage for what is none."""
    if not _DIGEST.fullmatch(digest):
        raise NoSuchPage("there is no such page")
    return digest


def _hex(plan: Facts) -> str:
    """Return a plan's digest as it stands in paths."""
    return str(plan["digest"]).removeprefix("sha256:")
