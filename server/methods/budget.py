"""How much a phase may ask, in Python integers from the schema alone, and the noise of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from silosynth.common.accounting import Noise, pld_epsilon, rho_for
from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidPlan, InvalidSchema
from silosynth.common.plan import (
    MOST_CLOSER_CELLS,
    ROUNDS,
    Method,
    Phase,
    PhaseName,
    noised_phase,
    phase_cost,
)
from silosynth.common.schema import Schema
from silosynth.server.methods.method import Terms
from silosynth.server.mixture import FEWEST_POINTS

MAX_CELLS_PER_MARGINAL = 5_000_000
MAX_CELLS_PER_PLAN = 50_000_000
MAX_FITTED = 2**26
"""Numbers of a mixture of laws by class, about half a gigabyte; fitting it takes a few of them."""

_STEP = Fraction(1, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a phase may ask of a silo, ``held`` of it of what one silo holds; None for all."""

    marginals: int
    cells: int
    bound: int = 1
    held: int | None = None

    @property
    def paid(self) -> int:
        """Return how many marginals a silo pays for."""
        return self.marginals if self.held is None else self.held


Sizes = dict[PhaseName, Size]
Shares = Mapping[PhaseName, Fraction]


def check_fitted(schema: Schema, *, classes: int) -> None:
    """Raise InvalidPlan for more classes than the mixture of their laws has room for.

    Each has so many points, each with a share of every code: known before anything is spent.
    """
    if classes * FEWEST_POINTS * sum(schema.domain.shape) > MAX_FITTED:
        raise InvalidPlan(
            f"laws of {classes} classes over {sum(schema.domain.shape)} codes are too many to fit",
            hint="merge classes of the label, or use the method one-shot",
        )


def check_components(schema: Schema, components: int) -> None:
    """Raise InvalidPlan for more components than a mixture over a schema's codes has room for."""
    if components * sum(schema.domain.shape) > MAX_FITTED:
        raise InvalidPlan(
            f"{components} candidates over {sum(schema.domain.shape)} codes are too many to hand "
            "out",
            hint="give fewer --candidates, or pixels of fewer levels",
        )


def one_way_size(schema: Schema, terms: Terms | None = None) -> Sizes:
    """Return the size of the phase that counts every attribute by itself, for one silo.

    Raises InvalidSchema where nothing can be counted.
    """
    if not schema.domain.attributes:
        raise InvalidSchema("the schema has no attribute that marginals can count")
    shape = schema.domain.shape
    if terms is None:
        return {PhaseName.ONE_WAY: Size(marginals=len(shape), cells=sum(shape))}
    columns = [(a,) for a in schema.domain.attributes]
    return {PhaseName.ONE_WAY: asked_size(columns, terms=terms, cells=sum(shape))}


def asked_size(cliques: Sequence[Clique], *, terms: Terms, cells: int) -> Size:
    """Return the size of a phase that asks for these marginals, of ``cells`` in all."""
    asked, paid = (max(count(cliques), 1) for count in (terms.asked, terms.paid))
    return sized(asked, cells=cells, paid=paid)


def sized(asked: int, *, cells: int, paid: int) -> Size:
    """Return the size of a phase; what one silo pays for stands there only where it is less."""
    return Size(marginals=asked, cells=cells, held=paid if paid < asked else None)


def largest(cells: Iterable[int], *, count: int, paid: int | None = None) -> Size:
    """Return the size of a phase that asks for at most ``count`` marginals of these cells.

    Args: paid: how many of them one silo pays for at most; all by default.
    """
    found, count = sorted(cells, reverse=True), max(count, 1)
    paid = count if paid is None else max(paid, 1)
    return sized(count, cells=max(sum(found[:count]), 1), paid=paid)


def check_total(sizes: Sizes) -> Sizes:
    """Return ``sizes``; raise InvalidPlan where a plan would ask for too many cells in all."""
    total = sum(s.cells for s in sizes.values())
    if total > MAX_CELLS_PER_PLAN:
        raise InvalidPlan(
            f"the plan may ask for {total} cells; at most {MAX_CELLS_PER_PLAN} are allowed",
            hint="give large attributes fewer bins or categories",
        )
    return sizes


def check_pairs(domain: Domain, *, method: Method) -> None:
    """Raise InvalidPlan where there is no pair to choose."""
    if len(domain.attributes) < 2:
        raise InvalidPlan(
            f"the method {method.value} needs at least two attributes",
            hint="use the method independent",
        )


def calibrated(sizes: Sizes, *, shares: Shares, terms: Terms) -> tuple[Phase, ...]:
    """Return phases whose privacy loss distribution gives at most the budget's epsilon.

    Those that look at numbers' values come first, and take their share of all.

    Args: shares: each of the method's phases' part of rho; they add up to 1.
    """
    values = value_sizes(terms)
    rho = rho_for(terms.epsilon, terms.delta)
    part = values_share(values, terms=terms)
    shares = value_shares(values, part=part) | {n: s * (1 - part) for n, s in shares.items()}
    sizes = values | sizes
    attempts, rows = terms.trust.attempts, terms.rows_per_person
    scale = Fraction(1)
    while True:
        phases = _noise(
            sizes,
            rho=rho * scale / attempts,
            shares=shares,
            rows_per_person=rows,
            least=Fraction(terms.shares if terms.shares > 1 else 0),
        )
        costs = [
            phase_cost(p, rows_per_person=rows, shares=max(terms.shares, 1), attempts=attempts)
            for p in phases
        ]
        if pld_epsilon(costs, terms.delta) <= terms.epsilon:
            return phases
        scale *= Fraction(99, 100)


USUAL_ALONE, MOST_ALONE = Fraction(2, 5), Fraction(7, 10)
"""Of a method's rho for its 1-ways, where rows are many for their codes, and at most.

See decisions 152 and 156.
"""


def crowding(schema: Schema, terms: Terms) -> float:
    """Return how many rows the noise of all 1-way counts makes to a row; 0 where no bound is known.

    By the codes of all columns, the noise that their usual share leaves, and the public bound on
    all rows, so it follows from public numbers alone. Above 1 columns are worth more of the budget.
    """
    if terms.rows_at_most is None:
        return 0.0
    shape = schema.domain.shape
    rho = rho_for(terms.epsilon, terms.delta) / terms.trust.attempts
    counts = len(shape) * terms.rows_per_person**2 * terms.noises
    noise = math.sqrt(counts / (2 * USUAL_ALONE * rho))
    return sum(shape) * noise / max(terms.rows_at_most, 1)


def one_way_share(crowded: float) -> Fraction:
    """Return the 1-ways' part of a method's rho: two fifths, more where the table is crowded."""
    if crowded <= 1:
        return USUAL_ALONE
    more = Fraction(3 * math.log10(crowded) / 5).limit_denominator(1000)
    return min(MOST_ALONE, USUAL_ALONE + more)


def fewer_pairs(pairs: Fraction, *, crowded: float) -> Fraction:
    """Return how many pairs an attribute are asked: fewer where a table is crowded."""
    if crowded <= 1:
        return pairs
    return max(Fraction(1), Fraction(float(pairs) / crowded**1.5).limit_denominator(1000))


def shares_of_rounds(sizes: Sizes, *, alone: Fraction) -> Shares:
    """Return each phase's share of rho: half of what 1-ways leave is for rounds, by marginals."""
    rest = (1 - alone) / 2
    marginals = sum(s.paid for n, s in sizes.items() if n in ROUNDS)
    rounds = {n: rest * Fraction(sizes[n].paid, marginals) for n in ROUNDS if n in sizes}
    return {PhaseName.ONE_WAY: alone, PhaseName.COARSE: rest, **rounds}


MOST_VALUES_SHARE, LEAST_VALUES_SHARE = Fraction(1, 5), Fraction(1, 25)
"""Of rho, for the values of all numbers; the method gets the rest. See decision 069."""

_VALUES_PART = Fraction(3, 10)
"""Of the part that numbers are of all columns."""

_VALUES_NOISE = Fraction(1, 1000)
"""Of all rows: a count of values whose noise is so small need not be better."""


def value_sizes(terms: Terms) -> Sizes:
    """Return the most that the phases before the method's may ask; nothing without numbers."""
    trees = terms.trees
    if not trees:
        return {}
    asked = [(n,) for n, tree in trees.items() for _ in tree.asked()]
    cells = sum(sum(tree.asked().values()) for tree in trees.values())
    sizes = {PhaseName.VALUES: asked_size(asked, terms=terms, cells=cells)}
    if digits := [(n,) for n, tree in trees.items() for _ in tree.digits()]:
        sizes[PhaseName.CLOSER] = asked_size(digits, terms=terms, cells=MOST_CLOSER_CELLS)
    return sizes


def values_share(sizes: Sizes, *, terms: Terms) -> Fraction:
    """Return the part of rho that looks at values; 0 without numbers.

    Three tenths of the part that numbers are of all columns, a fifth at most; less where a public
    bound on the rows says that less brings the noise of a count to a thousandth of them, and 4 % at
    least. So it follows from the schema, the budget, the silos and public numbers alone.

    Args: sizes: of :func:`value_sizes`.
    """
    if not sizes:
        return Fraction(0)
    numbers = len(terms.trees)
    most = min(MOST_VALUES_SHARE, _VALUES_PART * numbers / max(terms.columns, numbers))
    if terms.rows_at_most is not None:
        marginals = sum(size.paid for size in sizes.values()) * terms.rows_per_person**2
        rho = rho_for(terms.epsilon, terms.delta) / terms.trust.attempts
        wanted = (_VALUES_NOISE * max(terms.rows_at_most, 1)) ** 2
        most = min(most, terms.noises * marginals / (2 * rho * wanted))
    return max(most, LEAST_VALUES_SHARE).limit_denominator(1000)


def value_shares(sizes: Sizes, *, part: Fraction) -> dict[PhaseName, Fraction]:
    """Return the share of rho of each phase of :func:`value_sizes`: one noise for all of them."""
    marginals = sum(size.paid for size in sizes.values())
    return {name: part * size.paid / marginals for name, size in sizes.items()}


def value_phases(terms: Terms, *, rho: Fraction, least: Fraction) -> tuple[Phase, ...]:
    """Return the phases that cost :func:`values_share` of ``rho``, rounded down.

    Args: rho: what a plan may cost one row. least: no noise is below it.
    """
    sizes = value_sizes(terms)
    if not sizes:
        return ()
    marginals = sum(size.paid for size in sizes.values())
    part = values_share(sizes, terms=terms)
    noise = Noise.for_rho(rho * part, count=marginals, least=least)
    return tuple(
        noised_phase(name, noise, marginals=size.marginals, cells=size.cells, held=size.held)
        for name, size in sizes.items()
    )


def _noise(
    sizes: Sizes, *, rho: Fraction, shares: Shares, rows_per_person: int, least: Fraction
) -> tuple[Phase, ...]:
    """Split ``rho`` by the shares and round every noise up to a multiple of 1/1024.

    A phase whose noise would be below ``least`` gets that, and the others what it leaves.
    """
    squared = {n: Fraction(s.paid * (rows_per_person * s.bound) ** 2) for n, s in sizes.items()}
    fixed: dict[PhaseName, Fraction] = {}
    while True:
        left = rho - sum((squared[n] / (2 * s) for n, s in fixed.items()), 0)
        rest = sum((shares[n] for n in sizes if n not in fixed), Fraction(0))
        exact = fixed | {
            n: squared[n] * rest / (2 * left * shares[n]) for n in sizes if n not in fixed
        }
        below = {n: least for n, variance in exact.items() if variance < least}
        if not below:
            break
        fixed |= below
    return tuple(
        noised_phase(
            name,
            Noise.at_least(exact[name], step=_STEP, bound=size.bound),
            marginals=size.marginals,
            cells=size.cells,
            held=size.held,
        )
        for name, size in sizes.items()
    )
