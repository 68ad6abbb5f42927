"""Answers that several pages give: a part of a long list, and a page that was written before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response

from silosynth.common.errors import InvalidArgument
from silosynth.common.report import style_source

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_MOST_DIGITS = 6


class NoSuchPage(InvalidArgument):
    """What a path names is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a long list: its number from 1, how many there are, and where it begins."""

    number: int
    pages: int
    first: int


def page_number(request: Request, *, of: int, on_a_page: int) -> Part:
    """Return which part of ``of`` things a request's ``?page=`` names; the first without it."""
    pages = max(1, -(-of // on_a_page))
    text = request.query_params.get("page", "1")
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise NoSuchPage("there is no such page")
    number = int(text)
    if not 1 <= number <= pages:
        raise NoSuchPage("there is no such page", hint=f"the last one is {pages}")
    return Part(number=number, pages=pages, first=(number - 1) * on_a_page)


def saved_page(path: Path) -> Response:
    """Return a report that was written before, closed off from the pages around it.

    It may apply the styles that stand in it, and run and load nothing. Raises NoSuchPage where
    there is none.
    """
    if not path.is_file():
        raise NoSuchPage("there is no report yet")
    text = path.read_text(encoding="utf-8")
    styles = " ".join(f"'{style_source(style)}'" for style in _STYLE.findall(text)) or "'none'"
    policy = (
        f"default-src 'none'; style-src {styles}; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; sandbox"
    )
    return Response(
        text,
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": policy},
    )
