"""``silosynth certificate``: a privacy statement, read and worked out again."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from silosynth.common.certificate import (
    CONDITIONS,
    HEADING,
    NOT_SAID,
    SHARES,
    Certificate,
    CheckedClaim,
    check_by_others,
    check_certificate,
    plain_words,
    statistical_privacy,
)
from silosynth.common.cli.console import Json, emit, say, show_table
from silosynth.common.errors import InvalidArgument
from silosynth.common.sampler import load_sampler


def certificate_check(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A certificate, or a sampler that holds one.")
    ],
    as_json: Json = False,
) -> None:
    """Work a privacy statement out again, by accountants of three libraries.

    Needs the extra [bold]check[/bold]. Fails when the statement does not follow from the noise, or
    when accountants contradict one another.

    [dim]silosynth certificate check run/certificate.json[/dim]
    """
    certificate = read_certificate(path)
    checked = check_by_others(certificate)
    for sentence in plain_words(certificate)[:2]:
        say(sentence)
    show_checked(checked)
    for sentence in words(checked):
        say(f"- {sentence}")
    emit(facts(certificate, checked), as_json=as_json)


def certificate_statistical(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A certificate, or a sampler that holds one.")
    ],
    rows: Annotated[
        int,
        typer.Option(
            help="About how many rows a count is over that an attacker does not know: a public "
            "guess; of one silo where each noises by itself."
        ),
    ],
    share: Annotated[
        list[float] | None,
        typer.Option(help="A cell's share of the rows; say it again for more. 0.5, 0.1 and 0.01."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What holds of single counts against an attacker who knows no row. Not the guarantee.

    It is said beside the certificate, with its conditions and what it does not say, and no ledger
    knows of it.

    [dim]silosynth certificate statistical run/certificate.json --rows 20000[/dim]
    """
    certificate = read_certificate(path)
    check_certificate(certificate)
    stated = statistical_privacy(certificate, rows=rows, shares=share or SHARES)
    say(plain_words(certificate)[0])
    header = ("phase", "share of the rows", "epsilon of one count", "by its noise alone")
    table = [
        (s.phase, f"{s.share:g}", *(_up(e) for e in (s.epsilon, s.noise_alone))) for s in stated
    ]
    show_table(f"{HEADING}, of {rows:,} rows, at delta {certificate.delta:g}", header, table)
    for sentence in (*CONDITIONS, *NOT_SAID):
        say(f"- {sentence}")
    emit(
        {
            "plan_id": certificate.plan_id,
            "delta": certificate.delta,
            "rows": rows,
            "counts": [asdict(s) for s in stated],
            "conditions": list(CONDITIONS),
            "does_not_say": list(NOT_SAID),
        },
        as_json=as_json,
    )


def _up(epsilon: float) -> str:
    """Return an epsilon with three decimals, rounded up."""
    return f"{math.ceil(epsilon * 1000) / 1000:g}" if math.isfinite(epsilon) else "none"


def read_certificate(path: Path) -> Certificate:
    """Read a certificate from its file, or from a sampler's."""
    try:
        if path.suffix == ".sampler":
            return Certificate.model_validate(load_sampler(path).certificate)
        return Certificate.model_validate(json.loads(path.read_bytes()))
    except OSError as err:
        raise InvalidArgument(f"cannot read {path}: {err.strerror}", hint="check the path") from err
    except (ValidationError, ValueError) as err:
        raise InvalidArgument(
            f"{path} is no certificate of a known version",
            hint="give certificate.json of a run, or its sampler",
        ) from err


def show_checked(checked: tuple[CheckedClaim, ...]) -> None:
    """Show what is stated beside what each accountant says."""
    bounds = checked[0].bounds
    names = [f"{'<=' if b.above else '>='} {b.accountant}" for b in bounds]
    rows = [
        (
            c.claim.what,
            f"{c.claim.epsilon:.4g}",
            *("-" if b.epsilon is None else f"{b.epsilon:.4g}" for b in c.bounds),
        )
        for c in checked
    ]
    show_table("epsilon, stated and worked out again", ("of", "stated", *names), rows)


def words(checked: tuple[CheckedClaim, ...]) -> tuple[str, ...]:
    """Say what the table means."""
    first = checked[0]
    silent = [f"{b.accountant} does not apply: {b.why}." for b in first.bounds if b.epsilon is None]
    return (
        "Columns under <= are upper bounds: that accountant proves that the true epsilon is no "
        "larger. The column under >= is a lower bound: nobody can prove less.",
        f"The statement is proven by {', and '.join(first.proven_by)}; none of the others "
        "contradicts it. A larger upper bound is a coarser proof of the same noise.",
        *silent,
        "OpenDP's measurement of the same noise costs the rho that the ledger is charged.",
    )


def facts(certificate: Certificate, checked: tuple[CheckedClaim, ...]) -> dict[str, object]:
    """Return what a script wants to know."""
    return {
        "plan_id": certificate.plan_id,
        "delta": certificate.delta,
        "claims": [
            {
                "of": c.claim.what,
                "stated": c.claim.epsilon,
                "proven_by": list(c.proven_by),
                "bounds": [
                    {
                        "accountant": b.accountant,
                        "is": "upper bound" if b.above else "lower bound",
                        "epsilon": b.epsilon,
                        **({"why": b.why} if b.why else {}),
                    }
                    for b in c.bounds
                ],
            }
            for c in checked
        ],
    }
