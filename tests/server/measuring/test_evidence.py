"""Coarse pairs join a fit for nothing: never by a larger model than what was chosen makes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan import PhaseName
from silosynth.common.schema import ImpossibleCells
from silosynth.server.measuring import held_inside, part_coarse
from silosynth.server.model import build_junction_tree

DOMAIN = Domain(attributes=tuple("abcdefgh"), shape=(2, 3, 7, 2, 5, 4, 3, 6))
PAIRS = tuple(combinations(DOMAIN.attributes, 2))
CLIQUES = st.lists(st.sampled_from(PAIRS), unique=True, max_size=12)


def _measured(clique: Clique) -> Measurement:
    cells = DOMAIN.size(clique)
    return Measurement(clique=clique, values=np.zeros(cells), variance=np.ones(cells))


def _cells(*cliques: Clique) -> int:
    return build_junction_tree(cliques, domain=DOMAIN).cells


@given(
    chosen=CLIQUES,
    impossible=st.lists(st.sampled_from(tuple(combinations(DOMAIN.attributes, 3))), max_size=3),
    unheld=st.sets(st.sampled_from(PAIRS)),
)
def test_pairs_inside_make_no_model_larger(
    chosen: list[Clique], impossible: list[Clique], unheld: set[Clique]
) -> None:
    """Impossible cells are part of the model that they lie inside of, or are left out of."""
    zeros = [ImpossibleCells(clique=c, mask=np.zeros(DOMAIN.sizes(c), bool)) for c in impossible]
    coarse = [_measured(pair) for pair in PAIRS if pair not in unheld]
    fitted, outside = part_coarse(
        {PhaseName.ROUND_1: [_measured(c) for c in chosen], PhaseName.COARSE: coarse},
        domain=DOMAIN,
        grouping=Grouping(),
        zeros=zeros,
    )
    assert len(fitted) + len(outside) == len(chosen) + len(coarse)
    whole = _cells(*(m.clique for m in fitted), *impossible)
    assert whole == _cells(*chosen, *impossible)


def test_pairs_that_would_change_the_order_of_elimination_are_left_out() -> None:
    """Some pairs of a clique, and not all: such a tree was found among 12,000 at random."""
    domain = Domain(attributes=tuple("abcdefghijk"), shape=(9, 2, 10, 8, 3, 6, 8, 8, 11, 10, 11))
    chosen = [
        tuple(c)
        for c in [
            "ck",
            "cg",
            "ej",
            "bf",
            "fi",
            "bk",
            "bc",
            "ac",
            "dk",
            "bd",
            "ik",
            "gh",
            "bg",
            "fg",
            "dg",
            "ij",
            "ce",
        ]
    ]
    coarse = [tuple(c) for c in ["ac", "bd", "bf", "bg", "bk", "ce", "cg", "ef", "ej", "ek", "ij"]]
    assert build_junction_tree([*chosen, *coarse], domain=domain).cells == 16_610
    cells = [np.ones(domain.size(c)) for c in coarse]
    pairs = [
        Measurement(clique=c, values=v, variance=v) for c, v in zip(coarse, cells, strict=True)
    ]
    inside = [m.clique for m in held_inside(pairs, present=chosen, domain=domain)]
    assert inside == [c for c in coarse if c in chosen]
    assert build_junction_tree([*chosen, *inside], domain=domain).cells == 12_518
