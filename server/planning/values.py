"""What a plan asks of numbers' values, and the part of the budget that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from silosynth.common.plan.phases import Phase, PhaseName
from silosynth.common.plan.values import MOST_CLOSER_CELLS, PlannedTree
from silosynth.server.planning.sizes import Size

VALUES_SHARE = Fraction(1, 10)
"""Of rho, for the values of all numbers; the method gets the rest. See docs/decisions/042."""


def value_sizes(trees: Mapping[str, PlannedTree]) -> dict[PhaseName, Size]:
    """Return the most that the phases before the method's may ask."""
    if not trees:
        return {}
    asked = [tree.asked() for tree in trees.values()]
    sizes = {
        PhaseName.VALUES: Size(
            marginals=sum(map(len, asked)), cells=sum(sum(a.values()) for a in asked)
        )
    }
    digits = sum(len(tree.digits()) for tree in trees.values())
    if digits:
        sizes[PhaseName.CLOSER] = Size(marginals=digits, cells=MOST_CLOSER_CELLS)
    return sizes


def value_shares(sizes: Mapping[PhaseName, Size]) -> dict[PhaseName, Fraction]:
    """Return the share of rho of each phase of :func:`value_sizes`: one noise for all of them."""
    marginals = sum(size.marginals for size in sizes.values())
    return {name: VALUES_SHARE * size.marginals / marginals for name, size in sizes.items()}


def value_phases(
    trees: Mapping[str, PlannedTree], *, rho: Fraction, least: Fraction
) -> tuple[Phase, ...]:
    """Return the phases that cost :data:`VALUES_SHARE` of ``rho``, rounded down.

    Args: rho: what a plan may cost one row. least: no sigma2 is below it.
    """
    sizes = value_sizes(trees)
    marginals = sum(size.marginals for size in sizes.values())
    sigma2 = max(Fraction(-((-marginals / (2 * rho * VALUES_SHARE)) // 1)), least)
    return tuple(
        Phase(name=name, marginals=size.marginals, cells=size.cells, sigma2=sigma2)
        for name, size in sizes.items()
    )
