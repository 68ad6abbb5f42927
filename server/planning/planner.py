"""Turn a budget into a plan: how many marginals each phase asks, and the noise of each."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Unpack

from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import (
    MEMBERS,
    Method,
    OnAbsent,
    Own,
    Plan,
    Privacy,
    Trust,
    TrustMode,
    check_plan,
    check_texts,
    parse_plan,
    plan_trees,
    trust_of,
)
from silosynth.common.schema import Schema
from silosynth.server.methods import Choices, Design, Terms, crowding, options_of, read_method
from silosynth.server.planning.advice import advise

_TAIL = 40
MOST_ROWS_BOUND = 10**12
"""No table of persons has more rows; whoever bounds them by more has mistyped."""


class Chosen(Choices, total=False):
    """What may be chosen of a plan, beyond whom it promises what.

    ``max_model_mb``: the most MiB of the model's tables; AIM chooses what stays below.
    ``trust``: in shared trust a phase's noise is that of the sum over the silos.
    ``colluders``, ``absent``: silos that may work with the coordinator, and that may be missing.
    ``attempts``: how often the silos' sum may be begun; each is paid for in advance.
    ``rows_at_most``: a public bound on all silos' rows; where rows are many, numbers' values need
    less of the budget, and where it allows, shared sums take 4 bytes
    a cell.
    ``bins_known``: numbers have the bins of a sampler that was handed out; nothing of the budget
    goes to where their values lie.
    ``held_out``: the share of the persons that the plan leaves alone, so that the result can be
    evaluated on them.
    """

    max_model_mb: int | None
    trust: TrustMode | str
    colluders: int
    absent: int
    attempts: int
    rows_at_most: int | None
    held_out: Fraction | str | None
    bins_known: bool


def new_plan(
    schema: Schema,
    *,
    epsilon: float,
    delta: float,
    silos: Sequence[str],
    method: Method | str | None = None,
    rows_per_person: int = 1,
    unit: str = "row",
    on_absent: OnAbsent | str | None = None,
    plan_id: str | None = None,
    lacks: Mapping[str, Sequence[str]] | None = None,
    **choices: Unpack[Chosen],
) -> Plan:
    """Make a plan that costs one silo at most (epsilon, delta).

    Guarantees: the privacy loss distribution of all phases together, each as often as
    ``attempts`` allows, gives at most ``epsilon`` at ``delta``; every noise is an exact fraction,
    rounded up.

    Args:
        method: without it, what :func:`~silosynth.server.planning.advice.advise` says; AIM for a
            workload.
        lacks: by silo, the columns that it declares not to hold; its people are others than
            those of the other silos.
        on_absent: by default, shared trust goes on without ``absent`` silos and own trust stops.
        choices: see :class:`Chosen`; those of methods are described in
            :mod:`silosynth.server.methods`, and a method takes its own.

    Raises InvalidPlan for a budget out of range, an unreviewed schema, a marginal that is too
    large, or a method that the schema has too few attributes for.
    """
    _check_names(choices)
    _check_rows_at_most(choices.get("rows_at_most"), silos=len(silos))
    if rows_per_person < 1:
        raise InvalidPlan(f"rows_per_person is {rows_per_person}", hint="it must be at least 1")
    workload = tuple(choices.get("workload", ()))
    terms = Terms(
        epsilon=epsilon,
        delta=delta,
        rows_per_person=rows_per_person,
        silos=len(silos),
        trust=_trust(choices),
        trees={} if choices.get("bins_known") else plan_trees(schema),
        columns=len(schema.domain.attributes),
        rows_at_most=choices.get("rows_at_most"),
        holdings=_holdings(schema, silos=silos, lacks=lacks or {}),
    )
    if method is None:
        crowded = crowding(schema, terms) if schema.domain.attributes else 0.0
        advice = advise(schema, crowded=crowded, rows=terms.rows_at_most or 0)
        method = Method.AIM if workload else advice.method
    chosen = read_method(method)
    if MEMBERS[chosen].several_tables:
        raise InvalidPlan(
            f"method {chosen.value} is for several tables, and schema {schema.name!r} has one",
            hint="use another method, or none",
        )
    check_texts(schema, method=chosen, workload=workload)
    design = options_of(chosen, choices).design(schema, terms)
    plan = parse_plan(
        {
            "id": plan_id or f"{schema.name[:48]}-{secrets.token_hex(4)}",
            "schema_name": schema.name,
            "schema_digest": schema.digest,
            "silos": list(silos),
            "lacks": {s: tuple(c) for s, c in lacks.items()} if lacks else None,
            "privacy": Privacy(
                epsilon=epsilon, delta=delta, rows_per_person=rows_per_person, unit=unit
            ),
            "method": chosen.value,
            "workload": workload,
            "weights": tuple(choices.get("weights", ())),
            **design.says,
            "values": terms.trees or None,
            **_said(choices, trust=terms.trust, on_absent=on_absent),
            "peers": terms.trust.peers(len(silos)),
            "phases": design.phases,
            "held_out": _held_out(choices),
            "sum_bits": _sum_bits(design, trust=terms.trust, choices=choices),
        }
    )
    check_plan(plan, schema)
    return plan


def _check_rows_at_most(rows: int | None, *, silos: int) -> None:
    """Raise InvalidPlan for a bound that no table of so many silos can have."""
    if rows is None:
        return
    if type(rows) is not int or not max(silos, 1) <= rows <= MOST_ROWS_BOUND:
        raise InvalidPlan(
            f"rows_at_most is {rows}; it bounds the rows of all {silos} silos together, from "
            f"{max(silos, 1)} (one a silo) to {MOST_ROWS_BOUND:,}",
            hint="give a public number that the rows are surely below, or leave it out",
        )


def rows_that_crowd(plan: Plan, schema: Schema) -> int:
    """Return below how many rows of all silos the noise of single columns is as much as they are.

    A plan with a public bound below it gives single columns more of the budget. By the codes of
    the schema, the budget and the silos alone; 0 for a plan that asks for no such columns.
    """
    if not schema.coded or plan.edition is None:  # methods without one split by no rows
        return 0
    terms = Terms(
        epsilon=plan.privacy.epsilon,
        delta=plan.privacy.delta,
        rows_per_person=plan.privacy.rows_per_person,
        silos=len(plan.silos),
        trust=plan.sharing,
        rows_at_most=1,
    )
    return math.ceil(crowding(schema, terms))


def _held_out(choices: Chosen) -> Mapping[str, str] | None:
    """Return what the plan says of persons who are held out, if any are."""
    share = choices.get("held_out")
    return None if share is None else {"share": str(share)}


def _holdings(
    schema: Schema, *, silos: Sequence[str], lacks: Mapping[str, Sequence[str]]
) -> tuple[frozenset[str], ...]:
    """Return what each silo holds of the columns that count; nothing where all hold all."""
    columns = frozenset(schema.domain.attributes)
    return tuple(columns.difference(lacks.get(s, ())) for s in silos) if lacks else ()


def _check_names(choices: Chosen) -> None:
    """Raise TypeError for a choice that there is not, as for any argument."""
    known = Chosen.__required_keys__ | Chosen.__optional_keys__
    if unknown := sorted(choices.keys() - known):
        raise TypeError(f"new_plan() got an unexpected keyword argument {unknown[0]!r}")


def _trust(choices: Chosen) -> Trust:
    """Return the trust that was chosen; the plan refuses what does not go with it."""
    mode = TrustMode(choices.get("trust", TrustMode.OWN))
    if mode is TrustMode.OWN:
        return Own()
    return trust_of(
        mode,
        colluders=choices.get("colluders", 0),
        absent=choices.get("absent", 0),
        attempts=choices.get("attempts", 1),
    )


def _said(choices: Chosen, *, trust: Trust, on_absent: OnAbsent | str | None) -> Mapping[str, Any]:
    """Return the fields of a plan that are taken as they were chosen."""
    limit, absent = choices.get("max_model_mb"), choices.get("absent", 0)
    return {
        **({} if limit is None else {"max_model_mb": limit}),
        "on_absent": str(on_absent or (OnAbsent.CONTINUE if absent else OnAbsent.STOP)),
        "trust": trust.mode.value,
        "colluders": choices.get("colluders", 0),
        "absent": absent,
        "attempts": choices.get("attempts", 1),
    }


def _sum_bits(design: Design, *, trust: Trust, choices: Chosen) -> int:
    """Return 32 where no sum can leave 32 bits, but with a probability below 2^-1000; else 64."""
    rows_at_most = choices.get("rows_at_most")
    if not trust.masked or rows_at_most is None or not design.counts:
        return 64
    largest = max(p.noise.variance(silos=1) for p in design.phases)
    rows_at_most *= max(p.bound for p in design.phases)
    return 32 if rows_at_most + _TAIL * math.isqrt(int(2 * largest) + 1) < 2**31 else 64
