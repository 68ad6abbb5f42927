"""How old something must be to be dropped, as a person writes it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated

import typer

from silosynth.common.errors import InvalidArgument

Older = Annotated[str, typer.Option("--older", help="Only what is older, in days, such as 90d.")]
OlderDryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be dropped, and drop nothing.")
]
_DAYS = re.compile(r"^(\d{1,5})d$")


def read_age(text: str, *, now: datetime) -> datetime:
    """Return the time before which something is old enough; raise InvalidArgument for other words.

    >>> from datetime import UTC, datetime
    >>> read_age("31d", now=datetime(2026, 2, 1, tzinfo=UTC)).date().isoformat()
    '2026-01-01'
    """
    found = _DAYS.match(text.strip())
    if found is None:
        raise InvalidArgument(f"{text!r} is no age", hint="write whole days, such as 90d")
    return now - timedelta(days=int(found[1]))
