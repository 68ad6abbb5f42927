"""What a form sent: a few short fields, read once, and only with its session's own mark."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

from fastapi import Request

from silosynth.common.errors import InvalidArgument
from silosynth.common.page.guard import SESSION
from silosynth.common.page.sessions import Session

_MOST_FIELDS = 20
_PLAIN, _PARTS = "application/x-www-form-urlencoded", "multipart/form-data"


def session_of(request: Request) -> Session | None:
    """Return who asks."""
    session: Session | None = request.scope.get(SESSION)
    return session


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form; of a file, each character is a byte.

    Raises InvalidArgument for one without its session's mark, or that cannot be read.
    """
    fields = await read_open_form(request)
    session = session_of(request)
    if session is None or session.reads_only:
        raise InvalidArgument("forms are sent by who entered the page")
    if not hmac.compare_digest(fields.get("csrf", "").encode(), session.csrf.encode()):
        raise InvalidArgument("this form is old, or not of this page", hint="load it again")
    return {name: value for name, value in fields.items() if name != "csrf"}


async def read_open_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form of somebody who was not let in yet."""
    body, kind = await request.body(), request.headers.get("content-type", "")
    try:
        pairs = _parts(kind, body) if kind.startswith(_PARTS) else _plain(kind, body)
    except ValueError:
        raise InvalidArgument("this form cannot be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidArgument("a field of this form is there twice")
    return fields


def _plain(kind: str, body: bytes) -> list[tuple[str, str]]:
    """Read fields that stand in one line."""
    if kind.partition(";")[0].strip() != _PLAIN:
        raise ValueError(kind)
    return parse_qsl(
        body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
    )


def _parts(kind: str, body: bytes) -> list[tuple[str, str]]:
    """Read fields that stand apart, as those of a form with a file do."""
    head = f"Content-Type: {kind}\r\n\r\n".encode("latin-1")
    parts = list(BytesParser(policy=HTTP).parsebytes(head + body).iter_parts())
    if not 0 < len(parts) <= _MOST_FIELDS:
        raise ValueError(len(parts))
    fields = []
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise ValueError(name)
        code = "utf-8" if part.get_filename() is None else "latin-1"
        fields.append((name, value.decode(code)))
    return fields
