"""Which links of several tables stand above their noise: from the schema, the plan and a guess.

A link costs marginals, whose noise all others bear too. One whose pairs cannot be told from chance
is better left out; where persons are few, that is all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import median_low

from silosynth.common.families import (
    Question,
    first_of,
    later_link,
    later_of,
    link_names,
    single_views,
    view_domains,
    view_links,
)
from silosynth.common.plan import TABLES_PHASES, Phase, Views, phase_noise
from silosynth.common.tables import TablesSchema
from silosynth.server.families import ask_families

OF_PARENT, OF_BEFORE = 0.06, 0.3
"""How far a pair of a row with its parent, and with the row before, usually is from chance: the
geometric means of diabetes130 and nycflights13 (docs/decisions/100)."""
FEWEST = 0.5
"""Rows that a parent has, or has more than one of, where the schema's middle edge says none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Federated:
    """How many silos there are, how many of them a noise is shared by, and about how many persons
    they have in all.
    """

    silos: int
    shares: int
    persons: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkForecast:
    """One link, as if it were asked about with a plan's noise.

    ``least`` is how far from chance one of its pairs must be to be told from noise, ``usual`` how
    far such pairs usually are: both total variation distances.
    """

    name: str
    rows: float
    cells: float
    noise: float
    least: float
    usual: float
    left_out: bool

    @property
    def stands(self) -> bool:
        """Say whether it stands above its noise."""
        return self.least < self.usual


def choose_links(
    schema: TablesSchema,
    design: Callable[[Collection[str]], Sequence[Phase]],
    *,
    size: Federated,
) -> tuple[str, ...]:
    """Return the links to leave out: the furthest below its noise first, until all others stand.

    Args: design: the phases without some links; the less is asked, the less noise each has.
    """
    left: list[str] = []
    while True:
        seen = forecast_links(schema, design(left), size=size, left_out=left)
        below = [link for link in seen if not link.left_out and not link.stands]
        if not below:
            return tuple(name for name in link_names(schema) if name in left)
        left.append(max(below, key=lambda link: link.least / link.usual).name)


def forecast_links(
    schema: TablesSchema,
    phases: Sequence[Phase],
    *,
    size: Federated,
    left_out: Collection[str] = (),
) -> tuple[LinkForecast, ...]:
    """Return how each link stands to the noise of these phases."""
    rows, noises = view_rows(schema, persons=size.persons), view_noises(schema, phases, size=size)
    asked: dict[tuple[str, str], list[int]] = {}
    domains = view_domains(schema)
    links = {view: view_links(schema, view) for view in domains}
    for question in _all_questions(schema):
        of_view = links[question.view]
        for link in {of_view[a] for a in question.clique if a in of_view}:
            cells = domains[question.view].size(question.clique)
            asked.setdefault((link, question.view), []).append(cells)
    found = []
    for name in link_names(schema):
        usual = OF_BEFORE if name.endswith(later_link("")) else OF_PARENT
        seen = [
            LinkForecast(
                name=name,
                rows=rows[view],
                cells=(mean := sum(cells) / len(cells)),
                noise=noises[view],
                least=_least(noises[view], cells=mean, rows=rows[view]),
                usual=usual,
                left_out=name in left_out,
            )
            for (link, view), cells in asked.items()
            if link == name and view in noises
        ]
        found += [min(seen, key=lambda link: link.least)] if seen else []
    return tuple(found)


def _least(noise: float, *, cells: float, rows: float) -> float:
    """Return the least distance from chance that can be told from noise in a pair, at most 1.

    By the sum of squares over its cells, of which noise alone has a deviation of sqrt(2 cells): 3
    of these, for what differs in about 2 sqrt(cells) cells, as a column does with itself.
    """
    return min(1.0, math.sqrt(3 * math.sqrt(2) / 2) * noise * math.sqrt(cells) / max(rows, 1))


def view_rows(schema: TablesSchema, *, persons: int) -> dict[str, float]:
    """Return about how many rows each view has: a parent has as many as the middle edge says.

    Edges are declared narrow where numbers are common, so that is the schema's word.
    """
    tables, views = {schema.person: float(persons)}, {schema.person: float(persons)}
    for name in schema.downward[1:]:
        table = schema.tables[name]
        usual, parents = median_low(table.children or (1,)), tables[str(table.parent)]
        tables[name] = parents * max(usual, FEWEST)
        views[first_of(name)] = parents * min(max(usual, FEWEST), 1)
        views[later_of(name)] = parents * max(usual - 1, FEWEST)
    return views


def view_noises(
    schema: TablesSchema, phases: Sequence[Phase], *, size: Federated
) -> dict[str, float]:
    """Return the standard deviation of a cell of each view, in rows, summed over the silos.

    Where persons are weighed it is that at the T of a person with the usual rows.
    """
    single, found = single_views(schema), dict[str, float]()
    for phase in phases:
        kind = TABLES_PHASES[phase.name]
        if kind.lengths:
            continue
        length = usual_length(schema) if kind.weighs else 1
        noise = phase_noise(phase, shares=size.shares, length=length)
        deviation = math.sqrt(noise.variance(silos=size.silos)) / (phase.fineness or 1)
        of = {
            Views.PERSONS: {schema.person},
            Views.FIRST: single - {schema.person},
            Views.OTHERS: view_domains(schema).keys() - single,
        }[kind.views]
        found |= dict.fromkeys(sorted(of), deviation)
    return found


def usual_length(schema: TablesSchema) -> int:
    """Return T of a person that has as many rows of each table as the schema's middle edges say.

    They lie in cells neither all alike, which n rows are n long, nor all apart, its root.
    """
    rows = view_rows(schema, persons=1)
    squares = sum(q.scale**2 * rows[q.view] ** 1.5 for q in ask_families(schema).later.weighed)
    return max(1, math.ceil(math.sqrt(squares)))


def _all_questions(schema: TablesSchema) -> tuple[Question, ...]:
    asked = ask_families(schema)
    return (*asked.first.plain, *asked.later.weighed)


def words_of_links(links: Sequence[LinkForecast], *, unlinked: Collection[str]) -> tuple[str, ...]:
    """Say of each link whether it stands above its noise, and which are left out."""
    said = []
    for link in links:
        how = "stands above its noise" if link.stands else "lies below its noise"
        told = "; it is left out" if link.left_out else ""
        said.append(
            f"link '{link.name}' {how}: a pair must be {link.least:.3f} from chance to be told "
            f"from noise, and such pairs usually are {link.usual:g}{told}"
        )
    if links and len(unlinked) == len(links):
        said.append(
            "persons are so few that unlinked tables are better: rows are drawn as many as a "
            "parent has, and otherwise by themselves"
        )
    return tuple(said)
