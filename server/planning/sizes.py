"""The most that each phase of a plan may ask, in Python integers, from the schema alone."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidPlan, InvalidSchema
from silosynth.common.generator.features import FeatureSettings, feature_cells
from silosynth.common.plan.plan import ROUNDS, Method, PhaseName
from silosynth.common.schema.schema import Schema
from silosynth.server.measuring.mst import MOST_AIM_GROUPS, MOST_COARSE_GROUPS, MOST_GROUPS

MAX_CELLS_PER_MARGINAL = 5_000_000
MAX_CELLS_PER_PLAN = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a phase may ask."""

    marginals: int
    cells: int
    bound: int = 1


def phase_sizes(
    schema: Schema,
    *,
    method: Method,
    workload: tuple[Clique, ...],
    rounds: int,
    pairs_per_attribute: Fraction,
) -> dict[PhaseName, Size]:
    """Return the most that each phase can ask, but of :func:`embedding_size` and of training.

    Args: rounds, pairs_per_attribute: how often AIM chooses, and how many pairs in all rounds.

    Raises InvalidPlan for a marginal or plan that is too large, a number of rounds out of range,
    or a schema without a pair to choose; InvalidSchema where nothing can be counted.
    """
    domain = schema.domain
    if not domain.attributes:
        raise InvalidSchema("the schema has no attribute that marginals can count")
    sizes = {PhaseName.ONE_WAY: Size(marginals=len(domain.shape), cells=sum(domain.shape))}
    if method is Method.MST:
        sizes |= _tree_sizes(domain)
    if method is Method.AIM:
        whole = frozenset(a for z in schema.structural_zeros for a in z.attributes)
        sizes |= _aim_sizes(
            domain, rounds=rounds, pairs_per_attribute=pairs_per_attribute, whole=whole
        )
    if method is Method.FIXED:
        cells = [domain.size(c) for c in workload]
        for clique, count in zip(workload, cells, strict=True):
            if count > MAX_CELLS_PER_MARGINAL:
                raise InvalidPlan(
                    f"the marginal over {', '.join(clique)} has {count} cells; "
                    f"at most {MAX_CELLS_PER_MARGINAL} are allowed",
                    hint="give its attributes fewer bins or categories, or leave it out",
                )
        sizes[PhaseName.WORKLOAD] = Size(marginals=max(len(workload), 1), cells=sum(cells) or 1)
    total = sum(s.cells for s in sizes.values())
    if total > MAX_CELLS_PER_PLAN:
        raise InvalidPlan(
            f"the plan may ask for {total} cells; at most {MAX_CELLS_PER_PLAN} are allowed",
            hint="give large attributes fewer bins or categories",
        )
    return sizes


def embedding_size(domain: Domain, features: FeatureSettings) -> Size:
    """Return the size of the one vector that the method one-shot sums."""
    cells = feature_cells(features, clique=domain.attributes, domain=domain)
    if cells > MAX_CELLS_PER_MARGINAL:
        raise InvalidPlan(
            f"the features make {cells} cells; at most {MAX_CELLS_PER_MARGINAL} are allowed",
            hint="lower the frequencies, or merge classes of the label",
        )
    return Size(marginals=1, cells=cells, bound=features.bound)


def _tree_sizes(domain: Domain) -> dict[PhaseName, Size]:
    """Return the sizes of the two phases that find and measure a tree."""
    _check_pairs(domain, method=Method.MST)
    groups = [min(size, MOST_GROUPS) for size in domain.shape]
    pairs = list(combinations(domain.shape, 2))
    edges = len(domain.shape) - 1
    largest = sorted((min(a * b, MAX_CELLS_PER_MARGINAL) for a, b in pairs), reverse=True)
    return {
        PhaseName.COARSE: Size(
            marginals=len(pairs), cells=sum(a * b for a, b in combinations(groups, 2))
        ),
        PhaseName.TREE: Size(marginals=edges, cells=sum(largest[:edges])),
    }


def _aim_sizes(
    domain: Domain, *, rounds: int, pairs_per_attribute: Fraction, whole: frozenset[str]
) -> dict[PhaseName, Size]:
    """Return the sizes of the coarse phase and of the rounds that choose and measure.

    Args: whole: attributes whose structural zeros may keep their codes from merging.
    """
    _check_pairs(domain, method=Method.AIM)
    if not 1 <= rounds <= len(ROUNDS):
        raise InvalidPlan(f"{rounds} rounds were asked for", hint=f"give 1 to {len(ROUNDS)}")
    none = frozenset[str]()
    coarse, fine = (
        sorted((a * b for a, b in combinations(_capped(domain, most, apart), 2)), reverse=True)
        for most, apart in ((MOST_COARSE_GROUPS, none), (MOST_AIM_GROUPS, whole))
    )
    cliques = min(round(pairs_per_attribute * len(domain.shape)), len(coarse))
    rounds = min(rounds, cliques)
    sizes = {PhaseName.COARSE: Size(marginals=len(coarse), cells=sum(coarse))}
    for i, name in enumerate(ROUNDS[:rounds]):
        marginals = cliques * (i + 1) // rounds - cliques * i // rounds
        sizes[name] = Size(marginals=marginals, cells=sum(fine[:marginals]))
    return sizes


def _capped(domain: Domain, most: int, whole: frozenset[str]) -> list[int]:
    """Return the size of each attribute after merging it to ``most`` groups, unless ``whole``."""
    pairs = zip(domain.attributes, domain.shape, strict=True)
    return [size if name in whole else min(size, most) for name, size in pairs]


def _check_pairs(domain: Domain, *, method: Method) -> None:
    """Raise InvalidPlan where there is no pair to choose."""
    if len(domain.attributes) < 2:
        raise InvalidPlan(
            f"the method {method.value} needs at least two attributes",
            hint="use the method independent",
        )
