"""What a request asks of a data set's rows: counts, features, votes or learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from silosynth.client.gateway.datasets import (
    AnyDataset,
    Dataset,
    TablesDataset,
    counted_there,
)
from silosynth.client.learning import Checkpoints
from silosynth.client.noise import BitSource
from silosynth.client.source import Source, StreamRows, ValueQuestion
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidTable, Refused
from silosynth.common.generator import (
    CentralSettings,
    FeatureSettings,
    ProjectionSettings,
    VoteSettings,
    central_cells,
    central_map,
    count_votes,
    feature_map,
    image_map,
    pictures_of,
    projection_map,
    sum_around,
    sum_features,
    sum_image_features,
    sum_images,
    sum_projections,
    sum_votes,
)
from silosynth.common.held import Counters, Inputs
from silosynth.common.measurement import MarginalQuery
from silosynth.common.messages import Request
from silosynth.common.plan import (
    OF_PICTURES,
    OF_VALUES,
    OF_VOTES,
    TABLES_PHASES,
    Phase,
    PhaseName,
    Plan,
    level_number,
    partition,
)
from silosynth.common.schema import Schema
from silosynth.common.values import Leaves, Partition, sum_levels

if TYPE_CHECKING:  # its libraries are an extra
    from silosynth.common.generator import Words


class Terms(TypedDict):
    """What a source of rows is told of a request, whatever is asked of it."""

    rows_per_person: int
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked, of which rows, and at most of how many of one person."""

    rows: Source
    schema: Schema
    plan: Plan
    request: Request
    rows_per_person: int
    plan_digest: str
    cells: tuple[int, ...] = ()
    lacks: frozenset[str] = frozenset()
    inputs: Inputs | None = None
    words: Words | None = None

    @property
    def terms(self) -> Terms:
        """Return how many rows of a person count, and for which plan they are read."""
        return {"rows_per_person": self.rows_per_person, "plan": self.plan_digest}


def ask_rows(asked: Asked) -> Sequence[np.ndarray]:
    """Return one int64 array per query of the request, of at most ``rows_per_person`` rows each.

    Guarantees: adding or removing one row moves each array by at most the phase's ``bound`` in L2
    norm: by one in one cell where counts are asked.
    """
    if asked.inputs is not None:
        counters = Counters(asked.inputs)
        asked.rows.fold(counters.add, **asked.terms)
        return [counters.vector()]
    held = [not asked.lacks.intersection(clique) for clique, _ in asked.request.queries]
    if not all(held):
        return _ask_held(asked, held)
    if asked.request.phase in OF_VALUES:
        return _ask_values(asked)
    queries, levels = asked.request.marginals(), asked.request.groupings()
    features, projection = asked.plan.features, asked.plan.projection
    if projection is not None and asked.request.phase is PhaseName.PROJECTION:
        return [_project(asked, projection, grouping=levels[query.level]) for query in queries]
    if asked.plan.central is not None and asked.request.phase in OF_PICTURES:
        return [_picture(asked, asked.plan.central)]
    if asked.plan.votes is not None and asked.request.phase in OF_VOTES:
        return [_vote(asked, asked.plan.votes)]
    if features is None or asked.request.phase is not PhaseName.EMBEDDING:
        return asked.rows.count(queries, levels=levels, **asked.terms)
    return [_embed(asked, features, level=query.level, levels=levels) for query in queries]


def one_table(dataset: AnyDataset) -> Dataset | None:
    """Return a data set of one table; None of several."""
    return dataset if isinstance(dataset, Dataset) else None


def ask_families(dataset: AnyDataset, request: Request, *, phase: Phase) -> Sequence[np.ndarray]:
    """Return one int64 array per answer to what a request asks of several tables.

    Guarantees: a person with all rows below it, more or less, moves each array by one in one cell;
    where persons are weighed, all arrays together by an L2 norm of F times T at most.
    """
    if request.tables is None or not isinstance(dataset, TablesDataset):
        raise Refused("the request does not say what it asks of the tables")
    found = dataset.rows.count(request.tables.asked(phase))
    if TABLES_PHASES[phase.name].lengths:
        return [found.norms]
    return found.weighed if phase.fineness is not None else found.plain


def _ask_held(asked: Asked, held: Sequence[bool]) -> Sequence[np.ndarray]:
    """Return zeros for every marginal over a column that the silo lacks, and ask the others."""
    queries = tuple(q for q, there in zip(asked.request.queries, held, strict=True) if there)
    rest = replace(asked, request=asked.request.model_copy(update={"queries": queries}))
    counted = iter(ask_rows(rest) if queries else ())
    return [
        next(counted) if there else np.zeros(cells, dtype=np.int64)
        for there, cells in zip(held, asked.cells, strict=True)
    ]


def _ask_values(asked: Asked) -> Sequence[np.ndarray]:
    """Return histograms of numbers' points: levels of trees, round numbers, or a closer look.

    The levels of a tree are sums of its cells, so those are counted once.
    """
    trees, request = asked.plan.values or {}, asked.request
    questions: dict[tuple[str, str], ValueQuestion] = {}
    for (name,), level in request.queries:
        part: Partition
        if request.leaves is not None:
            part, key = trees[name].closer(request.leaves[name], level=level), level
        else:
            part = partition(trees[name], level=level)
            key = "" if isinstance(part, Leaves) else level
        questions[name, key] = ValueQuestion(attribute=name, partition=part)
    found = asked.rows.count_values(tuple(questions.values()), **asked.terms)
    counts = dict(zip(questions, found, strict=True))
    levels = {
        name: sum_levels(cells, leaves=trees[name].leaves)
        for (name, key), cells in counts.items()
        if not key
    }
    return [
        counts[name, level] if (number := level_number(level)) is None else levels[name][number]
        for (name,), level in request.queries
    ]


def learn_from(
    asked: Asked,
    *,
    bits: BitSource,
    add_noise: Callable[[np.ndarray], np.ndarray],
    checkpoints: Checkpoints,
    tell_operator: Callable[[str], None],
) -> np.ndarray:
    """Return (parameters,) int64, the noised sums of one round of training.

    Guarantees: those of :func:`silosynth.client.learning.round.train_round`.

    Raises InvalidTable where rows do not reach the gateway, Refused without PyTorch.
    """
    if not isinstance(asked.rows, StreamRows):
        raise InvalidTable(
            "a generator learns from rows, which stay where they are counted here",
            hint="set push_down = false, or leave cluster out",
        )
    # PyTorch is an extra: a silo that only counts never imports it.
    from silosynth.client.learning import train_round

    return train_round(
        asked.rows.people(**asked.terms),
        plan=asked.plan,
        request=asked.request,
        schema=asked.schema,
        bits=bits,
        add_noise=add_noise,
        pretrained=checkpoints.network(asked.plan, asked.schema),
        tell_operator=tell_operator,
    )


def _embed(
    asked: Asked, settings: FeatureSettings, *, level: str, levels: Mapping[str, Grouping]
) -> np.ndarray:
    """Return the sum of the rows' features."""
    if settings.images:
        return _embed_images(asked, settings, grouping=levels[level])
    # Features of a few attributes are a linear function of counts.
    features = feature_map(settings, schema=asked.schema, grouping=levels[level])
    queries = [MarginalQuery(clique=c, level=level) for c in features.cliques()]
    counts = asked.rows.count(queries, levels=levels, **asked.terms)
    return sum_features(features, counts)


def _embed_images(asked: Asked, settings: FeatureSettings, *, grouping: Grouping) -> np.ndarray:
    """Return the sum of the features of the rows' images, added up piece by piece."""
    features = image_map(settings, schema=asked.schema, grouping=grouping)
    cells = features.classes * features.frequencies * 2
    return _fold(asked, partial(sum_image_features, features), grouping=grouping, cells=cells)


def _project(asked: Asked, settings: ProjectionSettings, *, grouping: Grouping) -> np.ndarray:
    """Return the sum of the rows' projections and of their second moments, piece by piece."""
    projection = projection_map(
        settings,
        domain=grouping.domain(asked.schema.domain),
        scores=asked.request.scores or {},
    )
    cells = projection.classes * settings.cells
    return _fold(asked, partial(sum_projections, projection), grouping=grouping, cells=cells)


def _picture(asked: Asked, settings: CentralSettings) -> np.ndarray:
    """Return the sum of the rows' pictures, or of how they differ from what a request names."""
    central, step = central_map(settings, schema=asked.schema), asked.request.central
    domain = asked.schema.domain
    cells = central_cells(settings, clique=domain.attributes, domain=domain, step=step)
    sums = partial(sum_images, central) if step is None else partial(sum_around, central, step=step)
    return _fold(asked, sums, grouping=Grouping(), cells=cells)


def _vote(asked: Asked, settings: VoteSettings) -> np.ndarray:
    """Return how many of the rows, by class, are nearest to each candidate of a request."""
    candidates = asked.request.candidates or ()
    if settings.pictures:
        pictures = pictures_of(asked.schema, label=settings.label)
        votes = partial(sum_votes, pictures, candidates=candidates)
        cells = len(candidates) * pictures.classes
        return _fold(asked, votes, grouping=Grouping(), cells=cells)
    if not isinstance(asked.rows, StreamRows):
        raise counted_there()
    people = asked.rows.people(**asked.terms)
    return count_votes(people.examples, candidates, schema=asked.schema, words=asked.words)


def _fold(
    asked: Asked,
    add_up: Callable[[Sequence[np.ndarray]], np.ndarray],
    *,
    grouping: Grouping,
    cells: int,
) -> np.ndarray:
    """Return (cells,) int64, the sum of what ``add_up`` makes of each piece of working codes."""
    domain = asked.schema.domain
    sized = zip(domain.attributes, domain.shape, strict=True)
    lookups = [grouping.lookup(name, size) for name, size in sized]
    total = np.zeros(cells, dtype=np.int64)

    def add(columns: Sequence[np.ndarray]) -> None:
        working = [lookup[c] for lookup, c in zip(lookups, columns, strict=True)]
        np.add(total, add_up(working), out=total)

    asked.rows.fold(add, **asked.terms)
    return total
