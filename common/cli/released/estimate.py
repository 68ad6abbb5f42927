"""The command that estimates from a sampler and its replicates, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silosynth.common.cli.console import Json, emit, say, show_table
from silosynth.common.codec import parse_conditions
from silosynth.common.errors import InvalidArgument

if TYPE_CHECKING:
    from silosynth.common.estimate import Interval


_SHOWN = 4


def estimate_command(
    path: Annotated[Path, typer.Argument(metavar="SAMPLER", help="A sampler with replicates.")],
    share: Annotated[
        list[str] | None,
        typer.Option(help="The share of people with 'smoker=yes' or 'age=30..39'; repeat to join."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="The same share for each value of this.")] = None,
    regress: Annotated[
        str | None, typer.Option(help="Coefficients of 'smoker=yes ~ age + sex' or 'pay ~ age'.")
    ] = None,
    level: Annotated[float, typer.Option(help="How often intervals should cover.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the rows that are regressed.")] = 1,
    as_json: Json = False,
) -> None:
    """Estimate shares and coefficients with intervals that know of the noise. It costs no privacy.

    An interval worked out from synthetic rows alone is too narrow: the rows do not know how far
    their model is from the people. The replicates do.

    [dim]silosynth estimate run/result.sampler --share smoker=yes --by region[/dim]
    [dim]silosynth estimate run/result.sampler --regress 'smoker=yes ~ age + sex'[/dim]
    """
    from silosynth.common.estimate import (
        estimate_regression,
        estimate_share,
        lists_merged,
        load_replicates,
        pairs_apart,
        parse_formula,
    )
    from silosynth.common.sampler import TableSampler

    if bool(share) == bool(regress):
        raise InvalidArgument("nothing is asked for, or two things", hint="--share or --regress")
    if by and not share:
        raise InvalidArgument("--by goes with --share", hint="give a regression the column as term")
    where = parse_conditions(share or (), option="--share")
    formula = parse_formula(regress) if regress else None
    replicated = load_replicates(path)
    found = (
        estimate_share(replicated, where, by=by, level=level)
        if formula is None
        else estimate_regression(replicated, formula, seed=seed, level=level)
    )
    model = replicated.sampler
    if formula is None:
        names = [*where, *([by] if by else [])]
        apart = pairs_apart(model, names)
    else:
        names = [formula.target, *formula.terms]
        apart = tuple(p for term in formula.terms for p in pairs_apart(model, (names[0], term)))
    merged = lists_merged(model, names)
    _show(found, title=regress or found[0].name, level=level)
    _explain(found, apart=apart, merged=merged)
    lost = (
        "a mixture takes for noise what noise hides"
        if isinstance(model, TableSampler)
        else "other noise might have chosen other pairs to measure"
    )
    say(f"from {len(replicated.others)} replicates of {path}; {lost}, which intervals do not hold")
    emit(
        {
            "sampler": str(path),
            "level": level,
            "replicates": len(replicated.others),
            "intervals": [_plain(i) for i in found],
            "apart": [list(pair) for pair in apart],
            "merged": list(merged),
        },
        as_json=as_json,
    )


def _show(found: Sequence[Interval], *, title: str, level: float) -> None:
    """Print a line an interval."""
    header = ("of", "estimate", f"{level:.0%} from", "to")
    rows = [(i.group or ("all" if i.name == title else i.name), *_numbers(i)) for i in found]
    show_table(title, header, rows)


def _explain(
    found: Sequence[Interval], *, apart: Sequence[tuple[str, str]], merged: Sequence[str]
) -> None:
    """Say what labels are held against, and which columns and values the model does not know."""
    against = {i.name.partition("=")[0]: i.against for i in found if i.against}
    if against:
        say("labels are held against " + ", ".join(f"{n}={v}" for n, v in against.items()))
    if any(not math.isfinite(i.error) for i in found):
        say("not known: too few rows have it, in the sampler or in a replicate")
    if merged:
        say(
            f"rare values of {', '.join(merged)} were merged before pairs were asked: merged ones "
            "go with other columns alike, and what differs between them is in no interval"
        )
    if apart:
        shown = ", ".join(f"{a} and {b}" for a, b in apart[:_SHOWN])
        more = f", and {len(apart) - _SHOWN} more pairs" if len(apart) > _SHOWN else ""
        say(
            f"the model does not hold together {shown}{more}: it knows them through other columns "
            "or takes them for independent; intervals are as wide as what noise may have hidden "
            "between them"
        )


def _numbers(interval: Interval) -> tuple[str, ...]:
    """Write an estimate and the ends of its interval."""
    return tuple(
        "not known" if not math.isfinite(n) else f"{n:.4g}"
        for n in (interval.estimate, interval.low, interval.high)
    )


def _plain(interval: Interval) -> dict[str, str | float | None]:
    """Return an interval as JSON data, None for what is not known."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(interval).items()
    }
