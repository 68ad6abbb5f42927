"""Commands that take whole values: each field of a frozen dataclass is an option of its own.

And how old something must be to be dropped, as a person writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from silosynth.common.errors import InvalidArgument


class TableFormat(StrEnum):
    """The formats of a folder of tables."""

    PARQUET = "parquet"
    CSV = "csv"


def with_flags(
    command: Callable[..., None], groups: Mapping[str, Sequence[type]]
) -> Callable[..., None]:
    """Return a command whose options are the fields of the dataclasses that it takes.

    Args: groups: by the name of a parameter, the dataclasses of the tuple that it takes. A field
        is annotated with its help, or with what typer makes of it. Where several have a field of
        one name, it is one option, whose help is theirs together.
    """
    shown: dict[str, Parameter] = {}
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in signature(command).parameters.items():
        if name not in groups:
            kind, default = hints[name], parameter.default
            shown[name] = Parameter(name, _KEYWORD, default=default, annotation=kind)
            continue
        for kind in groups[name]:
            for option in _options(kind):
                shown[option.name] = _joined(shown.get(option.name), option)

    def flat(**given: Any) -> None:
        values = {name: given[name] for name in given if name in hints}
        for name, kinds in groups.items():
            values[name] = tuple(k(**{f: given[f] for f in _names(k)}) for k in kinds)
        command(**values)

    flat.__name__, flat.__doc__ = command.__name__, command.__doc__
    flat.__signature__ = Signature(list(shown.values()))  # type: ignore[attr-defined]  # PEP 362
    flat.__annotations__ = {n: p.annotation for n, p in shown.items()}
    return flat


_KEYWORD = Parameter.KEYWORD_ONLY


def _names(kind: type) -> list[str]:
    """Return the names of a dataclass's fields."""
    return [f.name for f in _fields(kind)]


def _fields(kind: Any) -> tuple[Field[Any], ...]:
    """Return a dataclass's fields."""
    return fields(kind)


def _options(kind: type) -> list[Parameter]:
    """Return the fields of a dataclass as parameters of a command."""
    hints = get_type_hints(kind, include_extras=True)
    return [
        Parameter(
            f.name,
            _KEYWORD,
            default=Parameter.empty if f.default is MISSING else f.default,
            annotation=_option(hints[f.name]),
        )
        for f in _fields(kind)
    ]


def _option(hint: Any) -> Any:
    """Return an annotation that typer reads, of one that holds the help alone."""
    if get_origin(hint) is Annotated and isinstance(get_args(hint)[1], str):
        kind, text = get_args(hint)
        return Annotated[kind, typer.Option(help=text)]
    return hint


def _joined(known: Parameter | None, option: Parameter) -> Parameter:
    """Return one option for two of the same name."""
    if known is None:
        return option
    kind, first = get_args(known.annotation)
    text = f"{first.help} {get_args(option.annotation)[1].help}"
    return known.replace(annotation=Annotated[kind, typer.Option(help=text)])


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
